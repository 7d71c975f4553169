"""The sentence on what holds a rollout now, and how much traffic it still needs."""

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.choices import Consequence, Guard, RunState, Stage, Verdict
from rollout.decisions.forecast import describe_forecast, describe_hold
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import ACTIVE, Next, Progress, StagePlan, decide

START = datetime(2026, 1, 5, tzinfo=UTC)
PLAN, PARTIAL = StagePlan(minutes=10), StagePlan(minutes=30, percents=(10, 25, 50))
SHADOW = Progress(Stage.SHADOW_MODE, RunState.RUNNING, 0, START, name="prices")
AT_10_PERCENT = replace(SHADOW, stage=Stage.PARTIAL_ACTIVE, percent=10)


def judgment(guard: Guard, samples: int = 100, verdict: Verdict = Verdict.PASS, **others: object) -> Judgment:
    fields = {"value": 0.9, "limit": 0.7, "name": guard.value, "needed": 50, "leads": Consequence.DISABLE} | others
    return Judgment(guard=guard, samples=samples, verdict=verdict, **fields)  # type: ignore[arg-type]


def inconclusive(guard: Guard, samples: int = 12, **others: object) -> Judgment:
    return judgment(guard, samples, Verdict.INCONCLUSIVE, **others)


PASSED = judgment(Guard.HIT_RATE)
SMALL = inconclusive(Guard.HIT_RATE)


def hold(
    *judgments: Judgment,
    progress: Progress = SHADOW,
    plan: StagePlan = PLAN,
    seconds_left: float = 0,
    rates: dict[str, float] | None = None,
) -> str:
    return describe_hold(progress, plan, judgments, seconds_left, rates or {})


DONE = replace(SHADOW, run_state=RunState.DONE)
DISABLED = replace(SHADOW, stage=Stage.DISABLED, run_state=RunState.COOLING)
WAITING, PAUSED = replace(SHADOW, run_state=RunState.WAITING), replace(SHADOW, run_state=RunState.PAUSED)
APPROVED_PLAN = replace(PLAN, needs_approval=True)
ADVANCES = "Nothing holds it: it advances at the next tick"


@pytest.mark.parametrize(
    ("progress", "plan", "expected"),
    [
        (SHADOW, PLAN, ADVANCES),
        (AT_10_PERCENT, PARTIAL, "Nothing holds it: it raises its traffic share at the next tick"),
        (replace(AT_10_PERCENT, percent=50), PARTIAL, ADVANCES),
        (replace(SHADOW, stage=Stage.FULL_ACTIVE), PLAN, "Nothing holds it: it finishes at the next tick"),
        (DONE, PLAN, "Nothing holds it: it is done, and its guards continue to watch"),
        (DISABLED, PLAN, "It does not run: an operator has to start it"),
        (replace(SHADOW, is_frozen=True), PLAN, "Automatic advances are frozen: manage.py rollout unfreeze"),
        (WAITING, APPROVED_PLAN, "It waits for an approval: manage.py rollout approve prices"),
        (replace(WAITING, is_approved=True), APPROVED_PLAN, ADVANCES),
        (PAUSED, PLAN, "It is paused until an operator resumes it: manage.py rollout resume prices"),
    ],
)
def test_with_guards_that_pass_the_clock_and_operators_hold_it(
    progress: Progress, plan: StagePlan, expected: str
) -> None:
    assert hold(PASSED, progress=progress, plan=plan) == expected


@pytest.mark.parametrize(
    ("seconds", "rest"),
    [
        (0.4, "1 more second"),
        (40, "40 more seconds"),
        (91, "2 more minutes"),
        (240, "4 more minutes"),
        (89 * 60, "89 more minutes"),
        (5 * 3600, "5 more hours"),
        (2 * 86400, "2 more days"),
        (500 * 86400, "500 more days"),
    ],
)
def test_the_time_left_has_one_unit(seconds: float, rest: str) -> None:
    assert hold(PASSED, seconds_left=seconds) == f"It stays in Shadow mode for {rest}"
    assert hold(PASSED, progress=AT_10_PERCENT, plan=PARTIAL, seconds_left=seconds) == f"It stays at 10 % for {rest}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than a minute"),
        (60, "about 1 minute"),
        (719, "about 12 minutes"),
        (38 * 60, "about 40 minutes"),
        (95 * 60, "about 2 hours"),
        (30 * 3600, "about 30 hours"),
        (3 * 86400, "about 3 days"),
        (400 * 86400, "more than a year"),
        (math.inf, "more than a year"),
    ],
)
def test_a_forecast_has_no_false_precision(seconds: float, text: str) -> None:
    assert describe_forecast(seconds) == text


def test_the_sentence_has_the_time_and_the_traffic_that_are_missing() -> None:
    sentence = (
        "It stays in Shadow mode for 4 more minutes; the hit rate needs 38 more look-ups, at this rate about 12 minutes"
    )
    assert hold(SMALL, seconds_left=240, rates={"hit_rate": 38 / 720}) == sentence


@pytest.mark.parametrize(
    ("guard", "missing", "need"),
    [
        (Guard.HIT_RATE, 1, "The hit rate needs 1 more look-up"),
        (Guard.ERRORS, 2, "The error count needs 2 more requests"),
        (Guard.P95_MS, 1, "The 95th percentile needs 1 more request"),
        (Guard.MISMATCH_RATE, 2000, "The mismatch rate needs 2,000 more comparisons"),
        (Guard.ERROR_RATE, 2, "The error rate needs 2 more requests of each arm"),
        (Guard.FEED_HEALTH, 1, "The health of the feeds needs 1 more watched feed"),
    ],
)
def test_each_guard_needs_what_its_sample_counts(guard: Guard, missing: int, need: str) -> None:
    assert hold(inconclusive(guard, 50, needed=50 + missing)) == need


def test_without_a_known_rate_it_makes_no_forecast() -> None:
    assert hold(SMALL) == "The hit rate needs 38 more look-ups"
    assert hold(SMALL, rates={"hit_rate": 0.0}) == "The hit rate needs 38 more look-ups, and none arrives"


def test_the_guard_that_takes_longest_is_named() -> None:
    slow, fast = inconclusive(Guard.MISMATCH_RATE, 40), inconclusive(Guard.P95_MS, 2)
    rates = {"hit_rate": 1.0, "mismatch_rate": 10 / 3600, "p95_ms": 1.0}
    need = "The mismatch rate needs 10 more comparisons, at this rate about 60 minutes"
    assert hold(SMALL, slow, fast, rates=rates) == f"{need}; 2 other guards need no more"
    assert hold(slow, fast, rates=rates) == f"{need}; 1 other guard needs no more"


def test_without_any_request_it_asks_for_traffic() -> None:
    none = [inconclusive(guard, 0) for guard in (Guard.ERRORS, Guard.HIT_RATE)]
    expected = 'No request was observed in this stage yet: send traffic through gate("prices")'
    assert hold(*none, judgment(Guard.FEED_HEALTH, 12)) == expected
    assert hold(none[1]) == 'No look-up was observed in this stage yet: send traffic through gate("prices")'


@pytest.mark.parametrize(
    ("value", "control", "trend"),
    [(0.02, 0.01, "points against"), (0.01, 0.01, "does not point against"), (0.8, None, "points against")],
)
def test_evidence_that_does_not_decide_yet_is_described(value: float, control: float | None, trend: str) -> None:
    undecided = inconclusive(Guard.ERROR_RATE, 400, value=value, control=control)
    expected = f"The error rate: the evidence {trend} the candidate so far, and more traffic decides"
    assert hold(undecided) == expected


def test_guards_whose_evidence_points_the_same_way_share_a_clause() -> None:
    worse = [inconclusive(guard, 400, value=0.2, control=0.1) for guard in (Guard.ERRORS, Guard.P95_MS)]
    better = [inconclusive(guard, 400, value=0.1, control=0.2) for guard in (Guard.ERROR_RATE, Guard.MISMATCH_RATE)]
    trend = "the evidence points against the candidate so far, and more traffic decides"
    expected = f"The error count, the 95th percentile and the hit rate: {trend}"
    assert hold(*worse, inconclusive(Guard.HIT_RATE, 400, value=0.1, control=0.2)) == expected
    assert hold(*better) == f"The error rate and the mismatch rate: {trend.replace('points', 'does not point')}"


def test_a_hit_rate_below_controls_points_against_the_candidate() -> None:
    below = inconclusive(Guard.HIT_RATE, 400, value=0.8, control=0.9)
    assert "points against" in hold(below)
    assert "does not point against" in hold(replace(below, value=0.95))


def test_a_guard_that_could_not_be_measured_holds_every_step() -> None:
    unmeasured = judgment(Guard.P95_MS, 0, Verdict.ERROR, value=None)
    expected = "The 95th percentile could not be measured"
    assert hold(unmeasured) == expected
    assert hold(unmeasured, progress=AT_10_PERCENT, plan=PARTIAL) == expected


def test_a_small_sample_does_not_hold_the_next_traffic_share() -> None:
    assert hold(SMALL, progress=AT_10_PERCENT, plan=PARTIAL, seconds_left=60) == "It stays at 10 % for 60 more seconds"


def test_a_guard_that_only_warns_holds_nothing() -> None:
    warning = inconclusive(Guard.P95_MS, 2, leads=Consequence.WARN)
    assert hold(PASSED, warning) == "Nothing holds it: it advances at the next tick"
    assert hold(warning) == "No guard that binds is on in this stage: switch one on in its policy"


def test_an_approval_that_comes_later_is_announced() -> None:
    plan = replace(PLAN, needs_approval=True)
    assert (
        hold(PASSED, plan=plan, seconds_left=60)
        == "It stays in Shadow mode for 60 more seconds; then it needs an approval"
    )


judgments = st.builds(
    judgment,
    st.sampled_from(Guard),
    st.integers(0, 200),
    st.sampled_from(Verdict),
    value=st.none() | st.floats(0, 1),
    control=st.none() | st.floats(0, 1),
    leads=st.sampled_from(Consequence),
)
progresses = st.builds(
    Progress,
    st.sampled_from([stage for stage in Stage if stage is not Stage.DISABLED]),
    st.sampled_from(sorted(ACTIVE)),
    st.sampled_from([0, 10, 25, 50, 100]),
    st.just(START),
    is_approved=st.booleans(),
    is_frozen=st.booleans(),
    trip_errors=st.sampled_from([0, 6]),
)
plans = st.builds(StagePlan, st.just(10), st.sampled_from([(), (10, 25, 50)]), st.booleans())


@given(progresses, plans, st.lists(judgments, max_size=6), st.floats(0, 1200))
def test_it_agrees_with_the_decision(
    progress: Progress, plan: StagePlan, judged: list[Judgment], passed_seconds: float
) -> None:
    now = START + timedelta(seconds=passed_seconds)
    steps = len(plan.percents) if progress.stage is Stage.PARTIAL_ACTIVE and plan.percents else 1
    left = max(0.0, 600 / steps - passed_seconds)
    sentence = describe_hold(progress, plan, judged, left, {})
    moves = decide(progress, plan, judged, now).next
    assert sentence.startswith("Nothing holds it: it") == (
        moves in (Next.ADVANCE, Next.STEP, Next.FINISH) or (progress.run_state is RunState.DONE and moves is Next.STAY)
    )
    assert (sentence == "A guard is violated: it goes back at the next tick") == (moves is Next.TRIP)


@given(progresses, plans, st.lists(judgments, max_size=6), st.floats(0, 1e9), st.floats(0, 1e6) | st.just(math.inf))
def test_it_is_one_sentence_with_the_right_numbers(
    progress: Progress, plan: StagePlan, judged: list[Judgment], left: float, rate: float
) -> None:
    sentence = describe_hold(progress, plan, judged, left, {guard.value: rate for guard in Guard})
    assert sentence[0].isupper()
    assert not sentence.endswith(".")
    assert "\n" not in sentence
    assert not re.search(r"\b1 (more )?\w+s\b(?<!less)", sentence.replace("1 other guard needs", ""))
    assert not re.search(r"\d\.\d|inf|nan", sentence)
