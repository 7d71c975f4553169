"""The sentence on what holds a rollout in its stage now, and how much traffic it still needs. Pure.

The causes are those of `rollout.decisions.stages.decide`. A forecast extends the recent past, so its times are rounded:
"about 12 minutes".
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rollout.choices import Comparison, Guard, RunState, Stage, Verdict
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import ACTIVE, Progress, StagePlan
from rollout.decisions.trips import decide_trip

# The guard as the subject of a sentence, and what its sample counts: one of it, and several.
WORDS = {
    Guard.TRAFFIC: ("the traffic", "request", "requests"),
    Guard.ERRORS: ("the error count", "request", "requests"),
    Guard.ERROR_RATE: ("the error rate", "request", "requests"),
    Guard.P95_MS: ("the 95th percentile", "request", "requests"),
    Guard.LATENCY: ("the latency against control", "request", "requests"),
    Guard.HIT_RATE: ("the hit rate", "look-up", "look-ups"),
    Guard.MISMATCH_RATE: ("the mismatch rate", "comparison", "comparisons"),
    Guard.ASSIGNMENT: ("the split of the keys", "key", "keys"),
    Guard.FEED_HEALTH: ("the health of the feeds", "watched feed", "watched feeds"),
}
NAMED_AT_MOST = 3  # guards in a clause; of more, their number
TIMES = (  # up to so many seconds a time is given in this unit, which has so many seconds
    (90, 1, "second", "seconds"),
    (90 * 60, 60, "minute", "minutes"),
    (36 * 3600, 3600, "hour", "hours"),
    (365 * 86400, 86400, "day", "days"),
)


@dataclass(frozen=True, slots=True)
class Need:
    """The traffic that a guard still needs.

    missing: the number of samples up to the guard's minimum.
    where: whose samples they are, if not the candidate's in this stage; or an empty text.
    samples_per_second: the growth of its sample in the recent past; None if it is not known.
    """

    judgment: Judgment
    missing: int
    where: str
    samples_per_second: float | None

    @property
    def seconds(self) -> float:
        """The forecast of the time that the missing samples take; infinite if none arrives or that is not known."""
        return self.missing / self.samples_per_second if self.samples_per_second else math.inf

    def describe(self) -> str:
        """Return the need as a clause: the hit rate needs 38 more look-ups, at this rate about 12 minutes."""
        subject, one, several = _words(self.judgment)
        need = f"{subject} needs {_count(self.missing, f'more {one}', f'more {several}')}{self.where}"
        if self.samples_per_second is None:
            return need
        is_growing = self.seconds < math.inf
        rate = f"at this rate {describe_forecast(self.seconds)}" if is_growing else "and its sample does not grow"
        return f"{need}, {rate}"


def describe_hold(
    progress: Progress,
    plan: StagePlan,
    judgments: Sequence[Judgment],
    seconds_left: float,
    samples_per_second: Mapping[str, float],
) -> str:
    """Return one sentence on what holds the rollout in its stage, or that nothing does.

    judgments: the verdicts of this stage's guards.
    seconds_left: the time left in the stage or its percent step.
    samples_per_second: the growth of the guards' samples in the recent past, by the name of the judgment; a guard
        whose growth is not known is absent.
    """
    if progress.stage is Stage.DISABLED or progress.run_state not in ACTIVE:
        return "It does not run: an operator has to start it"
    trip = decide_trip(
        progress.stage, judgments, progress.trip_errors, progress.blind_ticks, errors_in_a_row=plan.errors_in_a_row
    )
    if trip is not None:
        return f"A guard takes it back to {trip.stage.label} at the next tick"
    if progress.run_state is RunState.DONE:
        return "Nothing holds it: it is done, and its guards continue to watch"
    holds = [
        *_clock_holds(progress, seconds_left),
        *_guard_holds(progress, judgments, samples_per_second),
        *_approval_holds(progress, plan),
    ]
    if not holds:
        return f"Nothing holds it: it {_next_move(progress, plan)} at the next tick"
    sentence = "; ".join(holds)
    return sentence[0].upper() + sentence[1:]


def describe_forecast(seconds: float) -> str:
    """Return how long something may take, without false precision: about 12 minutes, more than a year."""
    if seconds < 45:
        return "less than a minute"
    for longest, size, one, several in TIMES[1:]:
        if seconds < longest:
            return f"about {_count(_rounded(seconds / size), one, several)}"
    return "more than a year"


def _rounded(value: float) -> int:
    """Return the value as a whole number: up to 20 exactly, above in steps of 5."""
    return max(1, round(value)) if value <= 20 else 5 * round(value / 5)


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _clock_holds(progress: Progress, seconds_left: float) -> Iterator[str]:
    """Yield what a pause, a part that is off, the time of the stage, and the freeze switch hold."""
    is_paused = progress.run_state is RunState.PAUSED
    if is_paused:
        yield f"it is paused until an operator resumes it: manage.py rollout resume {progress.name}"
    if not progress.is_serving:
        yield "serving is off, and this time does not count: manage.py reactivate serving"
    if seconds_left > 0:
        place = f"at {progress.percent} %" if progress.stage is Stage.PARTIAL_ACTIVE else f"in {progress.stage.label}"
        then = "then it stays" if is_paused or not progress.is_serving else "it stays"
        yield f"{then} {place} for {_describe_rest(seconds_left)}"
    if progress.is_frozen:
        yield "automatic advances are frozen: manage.py rollout unfreeze"


def _describe_rest(seconds: float) -> str:
    """Return the time until a deadline: 40 more seconds, 4 more minutes."""
    size, one, several = next((each[1:] for each in TIMES if seconds < each[0]), TIMES[-1][1:])
    return _count(max(1, round(seconds / size)), f"more {one}", f"more {several}")


def _guard_holds(
    progress: Progress, judgments: Sequence[Judgment], samples_per_second: Mapping[str, float]
) -> Iterator[str]:
    """Yield what the guards hold: those that cannot be measured, those that lack samples, those that are undecided."""
    binding = [judgment for judgment in judgments if judgment.is_binding]
    if not binding:
        yield "no guard judges this stage: switch one on in its policy"
    unmeasured = [judgment for judgment in binding if judgment.verdict is Verdict.ERROR]
    for note in dict.fromkeys(judgment.note for judgment in unmeasured):
        names = _join([judgment for judgment in unmeasured if judgment.note == note])
        yield f"{names} could not be measured" + (f": {note}" if note else "")
    measured = [judgment for judgment in binding if judgment.verdict is not Verdict.ERROR]
    needs = [_need(progress, judgment, samples_per_second.get(judgment.name)) for judgment in measured]
    yield from _sample_holds(progress, binding, [need for need in needs if need is not None])
    undecided = [
        judgment
        for judgment, need in zip(measured, needs, strict=True)
        if need is None and judgment.verdict is Verdict.INCONCLUSIVE
    ]
    if undecided:
        yield f"{_join(undecided)}: the evidence points against the candidate, and more traffic decides"


def _need(progress: Progress, judgment: Judgment, samples_per_second: float | None) -> Need | None:
    """Return what the guard needs most: of the candidate's samples, control's, and those of this percent step."""
    needs = []
    if judgment.verdict is Verdict.INCONCLUSIVE:
        needs.append(Need(judgment, judgment.needed - judgment.samples, "", samples_per_second))
        if judgment.comparison is Comparison.CONTROL:
            needs.append(Need(judgment, judgment.needed - judgment.control_samples, " of control", None))
    if progress.stage is Stage.PARTIAL_ACTIVE:
        here = f" at {progress.percent} %"
        needs.append(Need(judgment, judgment.needed - judgment.step_samples, here, samples_per_second))
    return max((need for need in needs if need.missing > 0), key=lambda need: need.missing, default=None)


def _sample_holds(progress: Progress, binding: Sequence[Judgment], needs: Sequence[Need]) -> Iterator[str]:
    """Yield the need that takes longest, and the number of the others; if no traffic arrived at all, yield that."""
    unobserved = [need.judgment for need in needs if need.judgment.samples == 0]
    fed_by_traffic = [judgment for judgment in binding if judgment.guard is not Guard.FEED_HEALTH]
    if fed_by_traffic and all(judgment in unobserved for judgment in fed_by_traffic):
        units = {_words(judgment)[1] for judgment in fed_by_traffic}
        unit = units.pop() if len(units) == 1 else "request"
        yield f'no {unit} was observed in this stage yet: send traffic through gate("{progress.name}")'
        needs = [need for need in needs if need.judgment.guard is Guard.FEED_HEALTH]
    if needs:
        longest = max(needs, key=lambda need: (need.seconds, need.missing))
        others = len(needs) - 1
        waiting = f"; {_count(others, 'other guard waits', 'other guards wait')} for samples, but not longer"
        yield longest.describe() + (waiting if others else "")


def _words(judgment: Judgment) -> tuple[str, str, str]:
    return WORDS.get(judgment.guard, (judgment.name, "measurement", "measurements"))


def _join(judgments: Sequence[Judgment]) -> str:
    """Return the guards as the subject of a sentence: a, b and c; the number of more than that."""
    if len(judgments) > NAMED_AT_MOST:
        return f"{len(judgments)} guards"
    *first, last = (_words(judgment)[0] for judgment in judgments)
    return f"{', '.join(first)} and {last}" if first else last


def _approval_holds(progress: Progress, plan: StagePlan) -> Iterator[str]:
    is_leaving = progress.stage is not Stage.FULL_ACTIVE and not _is_step_ahead(progress, plan)
    if plan.needs_approval and not progress.is_approved and is_leaving:
        waits = progress.run_state is RunState.WAITING
        approve = f"manage.py rollout approve {progress.name}"
        yield f"it waits for an approval: {approve}" if waits else "then it needs an approval"


def _next_move(progress: Progress, plan: StagePlan) -> str:
    if progress.stage is Stage.FULL_ACTIVE:
        return "finishes"
    return "raises its traffic share" if _is_step_ahead(progress, plan) else "advances"


def _is_step_ahead(progress: Progress, plan: StagePlan) -> bool:
    """Return whether a higher traffic share of the same stage is next."""
    is_partial = progress.stage is Stage.PARTIAL_ACTIVE
    return is_partial and any(percent > progress.percent for percent in plan.percents)
