"""The verdicts of the guards on the record of a stage visit. Pure.

A missing measurement is never a PASS. The count of errors is a VIOLATION as soon as it exceeds its limit; it judges the
first requests of a visit, in which no comparison has its sample yet. Every other verdict is valid however often it is
looked at. A violation needs evidence: an e-value that a candidate within its limits gathers only by chance. The
probability that any guard of a stage visit does so is at most ALPHA. FULL_ACTIVE has no end, so all its guards together
raise one false alarm a year instead.

Sources: Ville 1939, Etude critique de la notion de collectif; Lindon & Malek, arXiv 2011.03567; Shin, Ramdas & Rinaldo,
arXiv 2203.03532; `rollout.decisions.statistics` has the formulas.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rollout.choices import Comparison, Guard, Stage, Verdict
from rollout.decisions import comparisons
from rollout.decisions.comparisons import Look
from rollout.decisions.guards import Judgment, Rule, Setting, guards_of
from rollout.decisions.record import VisitRecord

DROPPED_SHARE = 0.01  # of an arm's observations; with more of them dropped, nothing is measured
MOST = 0.5  # of an arm's calls: a candidate that fails on so many is taken back, however few keys it serves
UNTESTED = {Guard.TRAFFIC, Guard.ERRORS, Guard.ASSIGNMENT, Guard.FEED_HEALTH}  # they share no level


@dataclass(frozen=True, slots=True)
class Feeds:
    """The number of watched feeds and of those in error. problem: why they could not be counted."""

    watched: int = 0
    failing: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Measurements:
    """The measurements that the guards judge.

    closed: the record, which includes the closed slots only; None if nothing could be read.
    counted: the same with the counts of the open slot.
    feeds: None if no app registered feeds.
    """

    closed: VisitRecord | None
    counted: VisitRecord
    feeds: Feeds | None = None


def judge(rules: Sequence[Rule], measurements: Measurements, setting: Setting) -> list[Judgment]:
    """Return the judgment of each guard that is switched on and applies to this stage."""
    if setting.stage is Stage.DISABLED:
        return []
    guards = guards_of(setting.stage, has_hold_back=setting.is_compared)
    present = [rule for rule in rules if rule.guard in guards]
    tested = sum(rule.guard not in UNTESTED for rule in present)
    closed = measurements.closed
    look = None if closed is None else Look(closed, measurements.counted, setting, max(1, tested))
    judgments = [_judge(rule, look) for rule in present]
    judgments += [_judge_feeds(rule, measurements.feeds) for rule in rules if rule.guard is Guard.FEED_HEALTH]
    return _without_superseded(judgments, measurements.counted.total.candidate.requests, setting)


def _without_superseded(judgments: list[Judgment], requests: int, setting: Setting) -> list[Judgment]:
    """Return the judgments without the one of the count and the rate of errors that does not judge now.

    requests: the candidate's in this visit.
    """
    by_guard = {judgment.guard: judgment for judgment in judgments}
    count, rate = by_guard.get(Guard.ERRORS), by_guard.get(Guard.ERROR_RATE)
    if count is None or rate is None:
        return judgments
    if count.is_binding and (setting.first_requests is None or requests <= setting.first_requests):
        return [each for each in judgments if each is not rate]
    return [each for each in judgments if each is not count] if rate.is_binding else judgments


def _judge(rule: Rule, look: Look | None) -> Judgment:
    limit = comparisons.as_read(rule.guard, rule.at_most)
    blank = Judgment(rule.guard, None, limit, 0, Verdict.INCONCLUSIVE, rule.leads, rule.metric, rule.min_samples)
    if look is None:
        return replace(blank, verdict=Verdict.ERROR, note="Redis does not answer")
    judgment = _compare(rule, blank, look)
    is_too_many = rule.guard is Guard.ERRORS and judgment.verdict is Verdict.VIOLATION
    if not is_too_many and (problem := _why_unmeasurable(rule, look)):  # errors that were counted stay errors
        return replace(blank, verdict=Verdict.ERROR, note=problem)
    if note := _why_waived(rule, look):
        return replace(judgment, verdict=Verdict.INCONCLUSIVE, is_waived=True, note=note)
    return replace(judgment, note=judgment.note or _why_inconclusive(judgment))


def _compare(rule: Rule, blank: Judgment, look: Look) -> Judgment:
    match rule.guard:
        case Guard.TRAFFIC:
            return comparisons.count_traffic(blank, look)
        case Guard.ERRORS:
            return comparisons.count_errors(rule, blank, look)
        case Guard.ASSIGNMENT:
            return comparisons.compare_assignment(rule, blank, look)
        case Guard.LATENCY:
            return comparisons.compare_latencies(rule, blank, look)
        case Guard.OWN_MEAN:
            return comparisons.compare_means(rule, blank, look)
        case Guard.OWN_SHARE:
            return comparisons.compare_with_control(rule, blank, look)
        case Guard.ERROR_RATE:
            is_beside = look.is_control_counted
            compare = comparisons.compare_with_control if is_beside else comparisons.compare_with_limit
            return _with_repeated_failures(rule, compare(rule, blank, look), look)
    return comparisons.compare_with_limit(rule, blank, look)


def _with_repeated_failures(rule: Rule, judgment: Judgment, look: Look) -> Judgment:
    """Return the judgment on the rate of errors, with the failures of keys that fail again and again.

    Such a key is one failure within the hour, because its calls are not independent of each other. If most calls fail,
    that is a violation all the same; if many do, the rollout stays in its stage.
    """
    candidate, control = look.arms.candidate, look.arms.control
    if candidate.requests < rule.min_samples:
        return judgment
    share = candidate.errors / candidate.requests
    of_control = control.errors / control.requests if control.requests else 0.0
    note = f"{candidate.errors:,} of {candidate.requests:,} calls failed"
    if share >= MOST and of_control <= share / 2:
        return replace(judgment, verdict=Verdict.VIOLATION, note=note)
    is_many = share > max(rule.at_most, 2 * rule.tolerance * of_control)
    if judgment.verdict is Verdict.PASS and is_many:
        return replace(judgment, verdict=Verdict.INCONCLUSIVE, note=f"{note}, of few keys")
    return judgment


def _why_unmeasurable(rule: Rule, look: Look) -> str:
    """Return why the guard cannot be measured; empty if it can."""
    if look.closed.lost:
        return look.closed.lost
    counts = look.arms.candidate
    for arm, each in (("candidate", counts), ("control", look.arms.control)):
        if each.dropped > DROPPED_SHARE * (each.requests + each.dropped):
            return f"{each.dropped:,} observations of {arm} were dropped"
    if rule.guard is Guard.MISMATCH_RATE:
        tried = counts.compared + counts.uncompared
        if tried >= rule.min_samples and counts.uncompared > max(rule.at_most, DROPPED_SHARE) * tried:
            return f"{counts.uncompared:,} of {tried:,} comparisons failed"
    return ""


def _why_inconclusive(judgment: Judgment) -> str:
    """Return that control's sample is what is too small; empty if it is not, or if the candidate's is, too."""
    waits_for_control = judgment.comparison is Comparison.CONTROL and judgment.verdict is Verdict.INCONCLUSIVE
    if waits_for_control and judgment.control_samples < judgment.needed <= judgment.samples:
        return f"control has {judgment.control_samples:,} of {judgment.needed:,} samples"
    return ""


def _why_waived(rule: Rule, look: Look) -> str:
    """Return why there is nothing to measure here, although the gate was called; empty if there is."""
    candidate, control = look.total.candidate, look.total.control
    if rule.guard is Guard.TRAFFIC:
        return ""
    if candidate.requests == 0 and control.alone >= rule.min_samples:
        way = "gave no probe" if look.setting.stage is Stage.DARK_MODE else "were made outside of run()"
        return f"nothing to measure: {control.alone:,} calls {way}"
    if rule.guard is Guard.HIT_RATE and candidate.requests >= rule.min_samples:
        has_looked_up = candidate.hits + candidate.misses > 0
        return "" if has_looked_up else f"none of {candidate.requests:,} calls looked a cache up"
    return ""


def _judge_feeds(rule: Rule, feeds: Feeds | None) -> Judgment:
    judgment = Judgment(rule.guard, None, rule.at_most, 0, Verdict.ERROR, rule.leads, rule.metric, rule.min_samples)
    if feeds is None or feeds.problem:
        return replace(judgment, note=feeds.problem if feeds else "no app registered feeds")
    share = feeds.failing / feeds.watched if feeds.watched else None
    verdict = Verdict.INCONCLUSIVE
    if share is not None and feeds.watched >= rule.min_samples:
        verdict = Verdict.PASS if share <= rule.at_most else Verdict.VIOLATION
    return replace(judgment, value=share, samples=feeds.watched, step_samples=feeds.watched, verdict=verdict)
