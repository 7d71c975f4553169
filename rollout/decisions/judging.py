"""The verdicts of the guards on the record of a stage visit. Pure.

A missing measurement is never a PASS. The count of errors is a VIOLATION as soon as it exceeds its limit; it judges the
first requests of a visit, in which no comparison has its sample yet. Every other verdict is valid however often it is
looked at: a violation needs evidence (an e-value) that a candidate within its limit gathers with a probability of at
most ALPHA in the whole stage visit, divided among its guards; in FULL_ACTIVE, which has no end, one false alarm a year.

Sources: Ville 1939, Etude critique de la notion de collectif; Lindon & Malek, arXiv 2011.03567; Shin, Ramdas & Rinaldo,
arXiv 2203.03532; `rollout.decisions.evidence` has the formulas.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rollout.choices import Comparison, Direction, Guard, Stage, Verdict
from rollout.decisions import bands, bounds, detection, evidence, means
from rollout.decisions.counts import Arms, Counts, Moments
from rollout.decisions.guards import (
    ALPHA,
    P95_SHARE,
    Judgment,
    Rule,
    Setting,
    guards_of,
)
from rollout.decisions.latency import bound_ms, percentile_ms
from rollout.decisions.record import VisitRecord, against_limit, test_name

SUSPICION = math.log(10)  # evidence against the candidate that keeps a rollout in its stage, but does not take it back
DROPPED_SHARE = 0.01  # of an arm's observations; with more of them dropped, nothing is measured
UNTESTED = {Guard.TRAFFIC, Guard.ERRORS, Guard.ASSIGNMENT, Guard.FEED_HEALTH}


@dataclass(frozen=True, slots=True)
class Feeds:
    """The number of watched feeds and of those in error. problem: why they could not be counted."""

    watched: int = 0
    failing: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Measurements:
    """The measurements that the guards judge.

    record: of the closed slots; None if nothing could be read.
    now: the counts with the open slot, which has no evidence against control yet.
    feeds: None if no app registered feeds.
    """

    record: VisitRecord | None
    now: VisitRecord
    feeds: Feeds | None = None


def judge(rules: Sequence[Rule], measurements: Measurements, setting: Setting) -> list[Judgment]:
    """Return the judgment of each guard that is switched on and applies to this stage."""
    if setting.stage is Stage.DISABLED:
        return []
    guards = guards_of(setting.stage, has_hold_back=setting.is_compared)
    present = [rule for rule in rules if rule.guard in guards]
    tested = sum(rule.guard not in UNTESTED for rule in present)
    judge_one = _Judge(measurements, setting, math.log(max(1, tested)))
    judgments = [judge_one(rule) for rule in present]
    judgments += [_judge_feeds(rule, measurements.feeds) for rule in rules if rule.guard is Guard.FEED_HEALTH]
    return _without_superseded(judgments, measurements, setting)


def _without_superseded(judgments: list[Judgment], measurements: Measurements, setting: Setting) -> list[Judgment]:
    """Return the judgments without the one of the count and the rate of errors that does not judge now."""
    by_guard = {judgment.guard: judgment for judgment in judgments}
    count, rate = by_guard.get(Guard.ERRORS), by_guard.get(Guard.ERROR_RATE)
    if count is None or rate is None:
        return judgments
    requests = measurements.now.total.candidate.requests
    does_count = setting.first_requests is None or requests <= setting.first_requests
    if does_count and count.is_binding:
        return [each for each in judgments if each is not rate]
    return [each for each in judgments if each is not count] if rate.is_binding else judgments


class _Judge:
    """The judgment of one rule after another on the same measurements.

    log_guards: the logarithm of the number of guards that share ALPHA.
    """

    def __init__(self, measurements: Measurements, setting: Setting, log_guards: float) -> None:
        self._record, self._now, self._setting = measurements.record, measurements.now, setting
        self._threshold = log_guards - math.log(ALPHA)
        self._alarm = log_guards + math.log(detection.SLOTS_PER_YEAR)
        self._alpha = math.exp(-self._threshold)
        self._arms = self._now.window()
        self._step = self._now.steps.get(setting.percent, Arms())

    def __call__(self, rule: Rule) -> Judgment:
        blank = Judgment(
            rule.guard, None, _as_read(rule.guard, rule.at_most), 0, Verdict.INCONCLUSIVE, rule.leads, rule.metric
        )
        blank = replace(blank, needed=rule.min_samples, worse=rule.worse)
        if problem := self._unmeasurable(rule):
            return replace(blank, verdict=Verdict.ERROR, note=problem)
        judgment = self._judgment(rule, blank)
        if note := self._nothing_to_measure(rule):
            return replace(judgment, verdict=Verdict.INCONCLUSIVE, is_waived=True, note=note)
        return judgment

    def _unmeasurable(self, rule: Rule) -> str:
        """Return why the guard cannot be measured; empty if it can."""
        if self._record is None:
            return "Redis does not answer"
        if self._record.lost:
            return self._record.lost
        counts = self._arms.candidate
        if counts.dropped > DROPPED_SHARE * (counts.requests + counts.dropped):
            return f"{counts.dropped:,} observations were dropped"
        if rule.guard is Guard.MISMATCH_RATE:
            tried = counts.compared + counts.uncompared
            if tried >= rule.min_samples and counts.uncompared > max(rule.at_most, DROPPED_SHARE) * tried:
                return f"{counts.uncompared:,} of {tried:,} comparisons failed"
        return ""

    def _nothing_to_measure(self, rule: Rule) -> str:
        """Return why there is nothing to measure here, although the gate was called; empty if there is."""
        candidate, control = self._now.total.candidate, self._now.total.control
        if rule.guard is Guard.TRAFFIC:
            return ""
        if candidate.requests == 0 and control.alone >= rule.min_samples:
            way = "gave no probe" if self._setting.stage is Stage.DARK_MODE else "were made outside of run()"
            return f"nothing to measure: {control.alone:,} calls {way}"
        if rule.guard is Guard.HIT_RATE and candidate.requests >= rule.min_samples:
            has_looked_up = candidate.hits + candidate.misses > 0
            return "" if has_looked_up else f"none of {candidate.requests:,} calls looked a cache up"
        return ""

    def _judgment(self, rule: Rule, blank: Judgment) -> Judgment:
        match rule.guard:
            case Guard.TRAFFIC:
                return self._judge_traffic(blank)
            case Guard.ERRORS:
                return self._judge_count(rule, blank)
            case Guard.ASSIGNMENT:
                return self._judge_assignment(rule, blank)
            case Guard.OWN_MEAN:
                return self._judge_mean(rule, blank)
            case Guard.LATENCY | Guard.OWN_SHARE:
                return self._judge_against_control(rule, blank)
            case Guard.ERROR_RATE if self._is_control_counted:
                return self._judge_against_control(rule, blank)
        return self._judge_limit(rule, blank)

    @property
    def _is_control_counted(self) -> bool:
        """Whether control runs beside the candidate and is counted."""
        is_beside = self._setting.stage is not Stage.DARK_MODE and self._setting.is_compared
        arms = self._now.total
        return is_beside and (arms.control.requests > 0 or arms.candidate.requests == 0)

    def _judge_traffic(self, blank: Judgment) -> Judgment:
        requests = self._arms.control.requests + self._arms.candidate.requests
        verdict = Verdict.PASS if requests >= blank.needed else Verdict.INCONCLUSIVE
        step = self._step.control.requests + self._step.candidate.requests
        return replace(
            blank,
            value=float(requests),
            limit=float(blank.needed),
            samples=requests,
            step_samples=step,
            verdict=verdict,
        )

    def _judge_count(self, rule: Rule, blank: Judgment) -> Judgment:
        counts = self._arms.candidate if self._setting.first_requests is None else self._now.total.candidate
        limit = self._setting.hard_limit
        verdict = Verdict.PASS if counts.requests >= rule.min_samples else Verdict.INCONCLUSIVE
        if counts.errors > limit:
            verdict = Verdict.VIOLATION
        note = f"raised from {rule.at_most:g} to what control's own errors explain" if limit > rule.at_most else ""
        return replace(
            blank,
            value=float(counts.errors),
            limit=float(limit),
            samples=counts.requests,
            step_samples=self._step.candidate.requests,
            verdict=verdict,
            comparison=Comparison.COUNT,
            note=note,
        )

    def _judge_limit(self, rule: Rule, blank: Judgment) -> Judgment:
        bad, total = rule.bad_and_total(self._arms.candidate)
        share = bad / total if total else 0.0
        if self._exceeds_limit(rule):
            verdict = Verdict.VIOLATION
        elif total < rule.min_samples or share > rule.limit_share:
            verdict = Verdict.INCONCLUSIVE
        else:
            verdict = Verdict.PASS
        judgment = replace(
            blank, samples=total, step_samples=rule.bad_and_total(self._step.candidate)[1], verdict=verdict
        )
        if not total:
            return judgment
        if rule.guard is Guard.P95_MS:
            return self._in_ms(judgment, self._arms)
        bound = bounds.upper_bound(bad, total, self._alpha)
        return replace(judgment, value=_as_read(rule.guard, share), bound=_as_read(rule.guard, bound))

    def _exceeds_limit(self, rule: Rule) -> bool:
        if not self._setting.is_endless:
            bad, total = rule.bad_and_total(self._now.total.candidate)
            return evidence.limit_evidence(bad, total, rule.limit_share) >= self._threshold
        state = self._now.tests.get(test_name(rule, is_against_control=False))
        state = against_limit(state, *rule.bad_and_total(self._open_slot().candidate), rule)
        return detection.log_detection(state) >= self._alarm

    def _open_slot(self) -> Arms:
        """Return what was counted since the newest closed slot."""
        assert self._record is not None  # noqa: S101 - `_unmeasurable` comes first
        return _difference(self._now.total, self._record.total)

    def _in_ms(self, judgment: Judgment, arms: Arms) -> Judgment:
        """Return the judgment with the 95th percentiles of both arms, and the largest one not ruled out."""
        value = percentile_ms(arms.candidate.latencies, P95_SHARE)
        control = percentile_ms(arms.control.latencies, P95_SHARE)
        bound = _percentile_bound_ms(arms.candidate, self._alpha)
        return replace(judgment, value=value, bound=bound, control=control, control_samples=arms.control.timed)

    def _judge_against_control(self, rule: Rule, blank: Judgment) -> Judgment:
        slow = self._setting.slow_bucket
        bad, total = rule.bad_and_total(self._arms.candidate, slow)
        control_bad, control_total = rule.bad_and_total(self._arms.control, slow)
        state = self._now.tests.get(test_name(rule, is_against_control=True))
        gathered = -math.inf
        if state is not None:
            gathered = detection.log_detection(state) if self._setting.is_endless else evidence.log_evidence(state)
        threshold = self._alarm if self._setting.is_endless else self._threshold
        note, step = "", rule.bad_and_total(self._step.candidate, slow)[1]
        if rule.guard is Guard.LATENCY:
            note = self._slowdown(self._alpha / 2)
            threshold += math.log(2)  # the two tests share the guard's level
            total, control_total = self._arms.candidate.timed, self._arms.control.timed
            step = self._step.candidate.timed
        if gathered >= threshold or note:
            verdict = Verdict.VIOLATION
        elif min(total, control_total) < rule.min_samples or (not self._setting.is_endless and gathered > SUSPICION):
            verdict = Verdict.INCONCLUSIVE
        else:
            verdict = Verdict.PASS
        judgment = replace(
            blank,
            limit=rule.tolerance,
            samples=total,
            step_samples=step,
            control_samples=control_total,
            comparison=Comparison.CONTROL,
            verdict=verdict,
            note=note,
        )
        if rule.guard is Guard.LATENCY:
            return replace(self._in_ms(judgment, self._arms), bound=None) if total else judgment
        if not total:
            return judgment
        sign = rule.guard is Guard.OWN_SHARE and rule.worse is Direction.LOWER
        return replace(
            judgment,
            value=_share(bad, total, is_inverted=sign),
            control=_share(control_bad, control_total, is_inverted=sign) if control_total else None,
            bound=self._ratio_bound(rule),
        )

    def _ratio_bound(self, rule: Rule) -> float | None:
        """Return the largest ratio of the bad shares of both arms that is not ruled out."""
        steps = [
            (*rule.bad_and_total(arms.candidate), *rule.bad_and_total(arms.control))
            for arms in self._now.steps.values()
        ]
        bound = bounds.ratio_bound(steps, self._alpha)
        return None if math.isinf(bound) else bound

    def _slowdown(self, alpha: float) -> str:
        """Return at which latency the candidate is shown to be slower than control; empty if it is not."""
        arms = self._now.total
        if self._setting.stage is Stage.FULL_ACTIVE:
            arms = self._arms
        slowdown = bands.slowdown(arms.candidate.latencies, arms.control.latencies, alpha)
        if slowdown is None:
            return ""
        return (
            f"{100 * slowdown.candidate_share:.0f} % of its calls took at most {bound_ms(slowdown.bucket):.3g} ms, "
            f"{100 * slowdown.control_share:.0f} % of control's"
        )

    def _judge_assignment(self, rule: Rule, blank: Judgment) -> Judgment:
        gathered, candidate, control = 0.0, 0, 0
        for percent, arms in self._now.steps.items():
            if 0 < percent < 100:
                counts, shares = (arms.candidate.keys, arms.control.keys), (percent / 100, 1 - percent / 100)
                gathered += evidence.assignment_evidence(counts, shares)
                candidate, control = candidate + counts[0], control + counts[1]
        keys = candidate + control
        verdict = Verdict.PASS if keys >= rule.min_samples else Verdict.INCONCLUSIVE
        if gathered >= evidence.ASSIGNMENT_ALARM:
            verdict = Verdict.VIOLATION
        step_keys = self._step.candidate.keys + self._step.control.keys
        return replace(
            blank,
            value=float(candidate) if keys else None,
            control=float(control) if keys else None,
            samples=keys,
            control_samples=control,
            step_samples=step_keys,
            verdict=verdict,
            comparison=Comparison.SHARES,
        )

    def _judge_mean(self, rule: Rule, blank: Judgment) -> Judgment:
        arms = self._now.total
        candidate, control = (each.own.get(rule.metric, Moments()) for each in (arms.candidate, arms.control))
        step = self._step.candidate.own.get(rule.metric, Moments())
        judgment = replace(
            blank,
            limit=rule.tolerance,
            samples=candidate.n,
            control_samples=control.n,
            step_samples=step.n,
            comparison=Comparison.CONTROL,
        )
        if not (candidate.n and control.n):
            return judgment
        mean, control_mean = candidate.total / candidate.n, control.total / control.n
        low, high = means.difference_bounds(candidate, control, self._alpha)
        worst_case, shown = (high, low) if rule.worse is Direction.HIGHER else (-low, -high)
        allowed = (rule.tolerance - 1) * abs(control_mean)
        verdict = Verdict.PASS if min(candidate.n, control.n) >= rule.min_samples else Verdict.INCONCLUSIVE
        if shown > allowed:
            verdict = Verdict.VIOLATION
        direction = "higher" if rule.worse is Direction.HIGHER else "lower"
        note = "" if math.isinf(worst_case) else f"at most {worst_case:.3g} {direction} than control"
        return replace(judgment, value=mean, control=control_mean, verdict=verdict, note=note)


def _percentile_bound_ms(counts: Counts, alpha: float) -> float | None:
    """Return the latency in ms that at least 95 % of calls keep, as far as is proven; None if nothing is."""
    buckets, total = sorted(counts.latencies), counts.timed
    low, high = 0, len(buckets)
    while low < high:
        middle = (low + high) // 2
        if bounds.upper_bound(counts.slower_than(buckets[middle]), total, alpha) <= 1 - P95_SHARE:
            high = middle
        else:
            low = middle + 1
    return bound_ms(buckets[low]) if low < len(buckets) else None


def _difference(total: Arms, earlier: Arms) -> Arms:
    """Return what was counted in addition to the earlier counts, as far as endless tests need it."""
    return Arms(_counts_difference(total.candidate, earlier.candidate), Arms().control)


def _counts_difference(total: Counts, earlier: Counts) -> Counts:
    return Counts(
        requests=total.requests - earlier.requests,
        failing=total.failing - earlier.failing,
        hits=total.hits - earlier.hits,
        misses=total.misses - earlier.misses,
        latencies={number: count - earlier.latencies.get(number, 0) for number, count in total.latencies.items()},
    )


def _share(bad: int, total: int, *, is_inverted: bool) -> float:
    share = bad / total if total else 0.0
    return 1 - share if is_inverted else share


def _judge_feeds(rule: Rule, feeds: Feeds | None) -> Judgment:
    judgment = Judgment(rule.guard, None, rule.at_most, 0, Verdict.ERROR, rule.leads, rule.metric, rule.min_samples)
    if feeds is None or feeds.problem:
        return replace(judgment, note=feeds.problem if feeds else "no app registered feeds")
    share = feeds.failing / feeds.watched if feeds.watched else None
    verdict = Verdict.INCONCLUSIVE
    if share is not None and feeds.watched >= rule.min_samples:
        verdict = Verdict.PASS if share <= rule.at_most else Verdict.VIOLATION
    return replace(judgment, value=share, samples=feeds.watched, step_samples=feeds.watched, verdict=verdict)


def _as_read(guard: Guard, value: float) -> float:
    """Return a value as an operator reads it: a share of misses as a hit rate, all others as they are."""
    return 1 - value if guard is Guard.HIT_RATE else value
