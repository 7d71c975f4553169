"""The comparisons of the guards: with a number of errors, with a limit, with control, with the intended shares. Pure.

Each function returns the judgment of one rule at one look at a stage visit. A violation needs evidence that a candidate
within its limit gathers with a probability of at most the guard's part of ALPHA; only the count of errors is hard.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from rollout.choices import Comparison, Direction, Guard, Stage, Verdict
from rollout.decisions.counts import Arms, Counts, Moments
from rollout.decisions.guards import ALPHA, P95_SHARE, Judgment, Rule, Setting
from rollout.decisions.latency import bound_ms, percentile_ms
from rollout.decisions.record import VisitRecord, against_limit, state_name
from rollout.decisions.statistics import bands, bounds, detection, evidence, means

SUSPICION = math.log(10)  # evidence against the candidate that keeps a rollout in its stage, but does not take it back
NOTHING = Arms()


@dataclass(frozen=True)
class Look:
    """A look at a stage visit.

    closed: the record, which includes the closed slots only.
    counted: the same with the counts of the open slot, which are no evidence against control yet.
    guards: the number of guards that share ALPHA.
    """

    closed: VisitRecord
    counted: VisitRecord
    setting: Setting
    guards: int

    @property
    def threshold(self) -> float:
        """The logarithm of the evidence that is a violation in a stage that ends."""
        return math.log(self.guards / ALPHA)

    @property
    def alpha(self) -> float:
        """The part of ALPHA that one guard has."""
        return ALPHA / self.guards

    @property
    def alarm(self) -> float:
        """The logarithm at which a detector raises its alarm; all guards together raise one false alarm a year."""
        return math.log(self.guards * detection.SLOTS_PER_YEAR)

    @cached_property
    def total(self) -> Arms:
        """The counts of the whole visit, with the open slot."""
        return self.counted.total

    @cached_property
    def closed_total(self) -> Arms:
        """The counts of the whole visit, without the open slot."""
        return self.closed.total

    @cached_property
    def arms(self) -> Arms:
        """The counts of the window, or of the whole visit if the stage has none."""
        return self.counted.window()

    @property
    def step(self) -> Counts:
        """The candidate's counts in the present percent step."""
        return self.counted.steps.get(self.setting.percent, NOTHING).candidate

    @property
    def is_control_counted(self) -> bool:
        """Whether control runs beside the candidate and is counted."""
        is_beside = self.setting.stage is not Stage.DARK_MODE and self.setting.is_compared
        arms = self.total
        return is_beside and (arms.control.requests > 0 or arms.candidate.requests == 0)


def count_traffic(judgment: Judgment, look: Look) -> Judgment:
    """Judge whether the gate was called often enough in this stage. A run beside control is not a call of its own."""
    requests = max(look.arms.control.requests, look.arms.candidate.requests)
    verdict = Verdict.PASS if requests >= judgment.needed else Verdict.INCONCLUSIVE
    return replace(
        judgment,
        value=float(requests),
        limit=float(judgment.needed),
        samples=requests,
        step_samples=requests,
        verdict=verdict,
    )


def count_errors(rule: Rule, judgment: Judgment, look: Look) -> Judgment:
    """Judge the number of errors: more than the hard limit are a violation in any sample."""
    counts = look.arms.candidate if look.setting.first_requests is None else look.total.candidate
    limit = look.setting.hard_limit
    verdict = Verdict.PASS if counts.requests >= rule.min_samples else Verdict.INCONCLUSIVE
    if counts.errors > limit:
        verdict = Verdict.VIOLATION
    note = f"raised from {rule.at_most:g} to what control's own errors explain" if limit > rule.at_most else ""
    return replace(
        judgment,
        value=float(counts.errors),
        limit=float(limit),
        samples=counts.requests,
        step_samples=look.step.requests,
        verdict=verdict,
        comparison=Comparison.COUNT,
        note=note,
    )


def compare_with_limit(rule: Rule, judgment: Judgment, look: Look) -> Judgment:
    """Judge a share of bad calls against a fixed limit."""
    bad, total = rule.bad_and_total(look.arms.candidate)
    share = bad / total if total else 0.0
    if _exceeds_limit(rule, look):
        verdict = Verdict.VIOLATION
    elif total < rule.min_samples or share > rule.limit_share:
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASS
    step_samples = rule.bad_and_total(look.step)[1]
    judgment = replace(judgment, samples=total, step_samples=step_samples, verdict=verdict)
    if not total:
        return judgment
    if rule.guard is Guard.P95_MS:
        return replace(_with_percentiles(judgment, look), bound=_percentile_bound_ms(look.arms.candidate, look.alpha))
    bound = bounds.upper_bound(bad, total, look.alpha)
    return replace(judgment, value=as_read(rule.guard, share), bound=as_read(rule.guard, bound))


def _exceeds_limit(rule: Rule, look: Look) -> bool:
    bad, total = rule.bad_and_total(look.total.candidate)
    if not look.setting.is_endless:
        return evidence.limit_evidence(bad, total, rule.limit_share) >= look.threshold
    bad_before, total_before = rule.bad_and_total(look.closed_total.candidate)
    closed_state = look.closed.tests.get(state_name(rule, is_against_control=False))
    state = against_limit(closed_state, bad - bad_before, total - total_before, rule)
    return detection.log_detection(state) >= look.alarm


def compare_with_control(rule: Rule, judgment: Judgment, look: Look) -> Judgment:
    """Judge a share of bad calls against control's, in the same slots."""
    bad, total = rule.bad_and_total(look.arms.candidate)
    control_bad, control_total = rule.bad_and_total(look.arms.control)
    judgment = replace(
        judgment,
        limit=rule.tolerance,
        samples=total,
        control_samples=control_total,
        step_samples=rule.bad_and_total(look.step)[1],
        comparison=Comparison.CONTROL,
        verdict=_verdict_against_control(rule, look, min(total, control_total), look.threshold, look.alarm),
    )
    if not total:
        return judgment
    is_inverted = rule.guard is Guard.OWN_SHARE and rule.worse is Direction.LOWER
    return replace(
        judgment,
        value=_share(bad, total, is_inverted=is_inverted),
        control=_share(control_bad, control_total, is_inverted=is_inverted) if control_total else None,
        bound=None if is_inverted else _ratio_bound(rule, look),
    )


def compare_latencies(rule: Rule, judgment: Judgment, look: Look) -> Judgment:
    """Judge the candidate's latencies against control's.

    There are two tests, which share the guard's level: how many calls are slower than control's 95th percentile of the
    stage before, and the whole distributions.
    """
    candidate, control = look.arms.candidate, look.arms.control
    smaller = min(candidate.timed, control.timed)
    verdict = _verdict_against_control(rule, look, smaller, look.threshold + math.log(2), look.alarm + math.log(2))
    slowdown = _slowdown(look)
    note = ""
    if slowdown is not None:
        verdict = Verdict.VIOLATION
        note = (
            f"{100 * slowdown.candidate_share:.0f} % of its calls took at most {bound_ms(slowdown.bucket):.3g} ms, "
            f"{100 * slowdown.control_share:.0f} % of control's"
        )
    judgment = replace(
        judgment,
        limit=rule.tolerance,
        samples=candidate.timed,
        control_samples=control.timed,
        step_samples=look.step.timed,
        comparison=Comparison.CONTROL,
        verdict=verdict,
        note=note,
    )
    return _with_percentiles(judgment, look)


def _slowdown(look: Look) -> bands.Slowdown | None:
    """Return where the candidate is slower than control, within one percent step.

    Latencies may change with time while the share grows, so the arms are not compared over several steps. The step that
    was entered k-th has the part 1 / (k (k + 1)) of the level; these parts add up to 1. The band needs a sample that
    only grows, so it is that of the whole visit, also where the stage has a window.
    """
    steps = [each for each in look.counted.steps.values() if each.candidate.timed]
    for number, arms in enumerate(steps, 1):
        alpha = look.alpha / 2 / (number * (number + 1))
        slowdown = bands.slowdown(arms.candidate.latencies, arms.control.latencies, alpha)
        if slowdown is not None:
            return slowdown
    return None


def _verdict_against_control(rule: Rule, look: Look, samples: int, threshold: float, alarm: float) -> Verdict:
    """Return the verdict of the evidence that the closed slots gathered.

    samples: those of the arm that has fewer.
    threshold, alarm: the logarithm that is a violation, in a stage that ends and in one that does not.
    """
    state = look.closed.tests.get(state_name(rule, is_against_control=True))
    if look.setting.is_endless:
        is_worse = state is not None and detection.log_detection(state) >= alarm
        is_suspect = False
    else:
        gathered = -math.inf if state is None else evidence.log_evidence(state)
        is_worse, is_suspect = gathered >= threshold, max(gathered, _evidence_of_steps(rule, look)) > SUSPICION
    if is_worse:
        return Verdict.VIOLATION
    return Verdict.INCONCLUSIVE if is_suspect or samples < rule.min_samples else Verdict.PASS


def _evidence_of_steps(rule: Rule, look: Look) -> float:
    """Return the logarithm of the evidence in the sums of each percent step.

    The slots of a step in which one arm had no request are part of it. They are compared with another time, so this
    evidence can hold a rollout, but is no violation.
    """
    state, slow_bucket = evidence.NO_EVIDENCE, look.setting.slow_bucket
    for arms in look.counted.steps.values():
        counts = (*rule.bad_and_total(arms.candidate, slow_bucket), *rule.bad_and_total(arms.control, slow_bucket))
        state = evidence.add_slot(state, *counts, rule.tolerance)
    return evidence.log_evidence(state)


def _ratio_bound(rule: Rule, look: Look) -> float | None:
    """Return the largest ratio of the bad shares of both arms that is not ruled out; None if none is."""
    steps = [
        (*rule.bad_and_total(arms.candidate), *rule.bad_and_total(arms.control)) for arms in look.counted.steps.values()
    ]
    bound = bounds.ratio_bound(steps, look.alpha)
    return None if math.isinf(bound) else bound


def compare_assignment(rule: Rule, judgment: Judgment, look: Look) -> Judgment:
    """Judge whether the targeting keys were assigned to the arms in the intended shares."""
    gathered, candidate, control = 0.0, 0, 0
    for percent, arms in look.counted.steps.items():
        if 0 < percent < 100:
            counts, shares = (arms.candidate.keys, arms.control.keys), (percent / 100, 1 - percent / 100)
            gathered += evidence.assignment_evidence(counts, shares)
            candidate, control = candidate + counts[0], control + counts[1]
    keys = candidate + control
    verdict = Verdict.PASS if keys >= rule.min_samples else Verdict.INCONCLUSIVE
    if gathered >= evidence.ASSIGNMENT_ALARM:
        verdict = Verdict.VIOLATION
    present = look.counted.steps.get(look.setting.percent, NOTHING)
    return replace(
        judgment,
        value=float(candidate) if keys else None,
        control=float(control) if keys else None,
        samples=keys,
        control_samples=control,
        step_samples=present.candidate.keys + present.control.keys if 0 < look.setting.percent < 100 else keys,
        verdict=verdict,
        comparison=Comparison.SHARES,
    )


def compare_means(rule: Rule, judgment: Judgment, look: Look) -> Judgment:
    """Judge the mean of an own metric against control's."""
    arms = look.total
    candidate, control = (each.own.get(rule.metric, Moments()) for each in (arms.candidate, arms.control))
    judgment = replace(
        judgment,
        limit=rule.tolerance,
        samples=candidate.n,
        control_samples=control.n,
        step_samples=look.step.own.get(rule.metric, Moments()).n,
        comparison=Comparison.CONTROL,
    )
    if not (candidate.n and control.n):
        return judgment
    judgment = replace(judgment, value=candidate.total / candidate.n, control=control.total / control.n)
    steps = [
        (step.candidate.own.get(rule.metric, Moments()), step.control.own.get(rule.metric, Moments()))
        for step in look.counted.steps.values()
    ]
    difference = means.difference(steps, look.alpha)
    if difference is None:
        return judgment
    low, high, measured = difference.low, difference.high, difference.measured
    if rule.worse is Direction.LOWER:
        low, high, measured = -high, -low, -measured  # how much worse the candidate is
    allowed = (rule.tolerance - 1) * abs(difference.control)
    if low > allowed:
        verdict = Verdict.VIOLATION
    elif min(candidate.n, control.n) < rule.min_samples or (math.isinf(high) and measured > allowed):
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASS
    if verdict is Verdict.VIOLATION:
        note = f"at least {low:.3g} {rule.worse.value} than control"
    elif not math.isinf(high):
        note = f"at most {high:.3g} {rule.worse.value} than control"
    else:
        note = "" if verdict is Verdict.PASS else "equal values do not show how much they vary"
    return replace(judgment, verdict=verdict, note=note if min(candidate.n, control.n) >= means.SMALLEST_SAMPLE else "")


def _with_percentiles(judgment: Judgment, look: Look) -> Judgment:
    """Return the judgment with the 95th percentiles of both arms, in ms."""
    candidate, control = look.arms.candidate, look.arms.control
    return replace(
        judgment,
        value=percentile_ms(candidate.latencies, P95_SHARE),
        control=percentile_ms(control.latencies, P95_SHARE),
        control_samples=control.timed,
    )


def _percentile_bound_ms(counts: Counts, alpha: float) -> float | None:
    """Return the latency in ms that at least 95 % of calls keep, as far as is shown; None if nothing is."""
    buckets, total = sorted(counts.latencies), counts.timed
    low, high = 0, len(buckets)
    while low < high:
        middle = (low + high) // 2
        if bounds.upper_bound(counts.slower_than(buckets[middle]), total, alpha) <= 1 - P95_SHARE:
            high = middle
        else:
            low = middle + 1
    return bound_ms(buckets[low]) if low < len(buckets) else None


def _share(bad: int, total: int, *, is_inverted: bool) -> float:
    share = bad / total if total else 0.0
    return 1 - share if is_inverted else share


def as_read(guard: Guard, value: float) -> float:
    """Return a value as an operator reads it: a share of misses as a hit rate, all others as they are."""
    return 1 - value if guard is Guard.HIT_RATE else value
