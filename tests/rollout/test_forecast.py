"""The sentence on what holds a rollout now, and how much traffic it still needs."""

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.choices import Comparison, Consequence, Guard, RunState, Stage, Verdict
from rollout.decisions.forecast import describe_forecast, describe_hold
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import ACTIVE, Next, Progress, StagePlan, decide, seconds_left

START = datetime(2026, 1, 5, tzinfo=UTC)
PLAN, PARTIAL = StagePlan(minutes=10), StagePlan(minutes=30, percents=(10, 25, 50))
SHADOW = Progress(Stage.SHADOW_MODE, RunState.RUNNING, 0, START, name="prices")
AT_10_PERCENT = replace(SHADOW, stage=Stage.PARTIAL_ACTIVE, percent=10)


def judgment(guard: Guard, samples: int = 100, verdict: Verdict = Verdict.PASS, **others: Any) -> Judgment:
    fields: dict[str, Any] = {"value": 0.9, "limit": 0.7, "needed": 50, "step_samples": samples}
    return Judgment(guard=guard, samples=samples, verdict=verdict, **fields | others)


def inconclusive(guard: Guard, samples: int = 12, **others: Any) -> Judgment:
    return judgment(guard, samples, Verdict.INCONCLUSIVE, **others)


PASSED = judgment(Guard.HIT_RATE)
SMALL = inconclusive(Guard.HIT_RATE)


def hold(
    *judgments: Judgment,
    progress: Progress = SHADOW,
    plan: StagePlan = PLAN,
    left: float = 0,
    rates: dict[str, float] | None = None,
) -> str:
    return describe_hold(progress, plan, judgments, left, rates or {})


DONE = replace(SHADOW, run_state=RunState.DONE)
DISABLED = replace(SHADOW, stage=Stage.DISABLED, run_state=RunState.COOLING)
WAITING, PAUSED = replace(SHADOW, run_state=RunState.WAITING), replace(SHADOW, run_state=RunState.PAUSED)
OFF = replace(SHADOW, is_serving=False)
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
        (OFF, PLAN, "Serving is off, and this time does not count: manage.py reactivate serving"),
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
    assert hold(PASSED, left=seconds) == f"It stays in Shadow mode for {rest}"
    assert hold(PASSED, progress=AT_10_PERCENT, plan=PARTIAL, left=seconds) == f"It stays at 10 % for {rest}"


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
    assert hold(SMALL, left=240, rates={"hit_rate": 38 / 720}) == sentence


@pytest.mark.parametrize(
    ("guard", "missing", "need"),
    [
        (Guard.HIT_RATE, 1, "The hit rate needs 1 more look-up"),
        (Guard.ERRORS, 2, "The error count needs 2 more requests"),
        (Guard.P95_MS, 1, "The 95th percentile needs 1 more request"),
        (Guard.MISMATCH_RATE, 2000, "The mismatch rate needs 2,000 more comparisons"),
        (Guard.ERROR_RATE, 2, "The error rate needs 2 more requests"),
        (Guard.FEED_HEALTH, 1, "The health of the feeds needs 1 more watched feed"),
    ],
)
def test_each_guard_needs_what_its_sample_counts(guard: Guard, missing: int, need: str) -> None:
    assert hold(inconclusive(guard, 50, needed=50 + missing)) == need


def test_without_a_known_rate_it_makes_no_forecast() -> None:
    assert hold(SMALL) == "The hit rate needs 38 more look-ups"
    assert hold(SMALL, rates={"hit_rate": 0.0}) == "The hit rate needs 38 more look-ups, and its sample does not grow"


def test_the_guard_that_takes_longest_is_named() -> None:
    slow, fast = inconclusive(Guard.MISMATCH_RATE, 40), inconclusive(Guard.P95_MS, 2)
    rates = {"hit_rate": 1.0, "mismatch_rate": 10 / 3600, "p95_ms": 1.0}
    need = "The mismatch rate needs 10 more comparisons, at this rate about 60 minutes"
    assert hold(SMALL, slow, fast, rates=rates) == f"{need}; 2 other guards wait for samples, but not longer"
    assert hold(slow, fast, rates=rates) == f"{need}; 1 other guard waits for samples, but not longer"


def test_without_any_request_it_asks_for_traffic() -> None:
    none = [inconclusive(guard, 0) for guard in (Guard.ERRORS, Guard.HIT_RATE)]
    expected = 'No request was observed in this stage yet: send traffic through gate("prices")'
    assert hold(*none, judgment(Guard.FEED_HEALTH, 12)) == expected
    assert hold(none[1]) == 'No look-up was observed in this stage yet: send traffic through gate("prices")'


def test_a_guard_compared_with_control_needs_a_sample_of_both_arms() -> None:
    compared = inconclusive(Guard.ERROR_RATE, 40, control_samples=30, comparison=Comparison.CONTROL)
    assert hold(compared, rates={"error_rate": 1.0}) == "The error rate needs 20 more requests of control"
    assert hold(replace(compared, control_samples=60)) == "The error rate needs 10 more requests"


def test_each_percent_step_needs_a_sample_of_its_own() -> None:
    passed = judgment(Guard.ERROR_RATE, 1000, step_samples=20)
    need = "The error rate needs 30 more requests at 10 %, at this rate about 1 minute"
    assert hold(passed, progress=AT_10_PERCENT, plan=PARTIAL, rates={"error_rate": 0.5}) == need
    assert hold(passed) == ADVANCES, "no other stage has steps"


def test_evidence_that_does_not_decide_yet_is_described() -> None:
    trend = "the evidence points against the candidate, and more traffic decides"
    undecided = [inconclusive(guard, 400) for guard in (Guard.ERROR_RATE, Guard.P95_MS, Guard.HIT_RATE, Guard.ERRORS)]
    assert hold(undecided[0]) == f"The error rate: {trend}"
    assert hold(*undecided[:3]) == f"The error rate, the 95th percentile and the hit rate: {trend}"
    assert hold(*undecided) == f"4 guards: {trend}"


def test_a_guard_that_could_not_be_measured_holds_every_step() -> None:
    unmeasured = [judgment(guard, 0, Verdict.ERROR, value=None) for guard in (Guard.P95_MS, Guard.HIT_RATE)]
    expected = "The 95th percentile and the hit rate could not be measured"
    assert hold(*unmeasured) == expected
    assert hold(*unmeasured, progress=AT_10_PERCENT, plan=PARTIAL) == expected
    noted = [replace(each, note="Redis does not answer") for each in unmeasured]
    assert hold(*noted) == f"{expected}: Redis does not answer"


def test_an_own_metric_is_named() -> None:
    assert hold(inconclusive(Guard.OWN_MEAN, metric="basket_value")) == "Basket_value needs 38 more measurements"


@pytest.mark.parametrize("fault", [{"trip_errors": 6}, {"blind_ticks": 6}])
def test_a_trip_that_is_due_is_announced(fault: dict[str, Any]) -> None:
    expected = "A guard takes it back to Disabled at the next tick"
    assert hold(PASSED, progress=replace(SHADOW, **fault)) == expected


def test_a_guard_without_anything_to_measure_holds_nothing() -> None:
    waived = inconclusive(Guard.HIT_RATE, 0, is_waived=True)
    assert hold(waived, judgment(Guard.ERRORS)) == ADVANCES


def test_a_guard_that_only_warns_holds_nothing() -> None:
    warning = inconclusive(Guard.P95_MS, 2, leads=Consequence.WARN)
    assert hold(PASSED, warning) == "Nothing holds it: it advances at the next tick"
    assert hold(warning) == "No guard judges this stage: switch one on in its policy"


def test_an_approval_that_comes_later_is_announced() -> None:
    plan = replace(PLAN, needs_approval=True)
    assert hold(PASSED, plan=plan, left=60) == "It stays in Shadow mode for 60 more seconds; then it needs an approval"


judgments = st.builds(
    judgment,
    st.sampled_from(Guard),
    st.integers(0, 200),
    st.sampled_from(Verdict),
    step_samples=st.integers(0, 200),
    leads=st.sampled_from(Consequence),
    is_waived=st.booleans(),
    note=st.sampled_from(["", "Redis does not answer"]),
)
progresses = st.builds(
    Progress,
    st.sampled_from([stage for stage in Stage if stage is not Stage.DISABLED]),
    st.sampled_from(sorted(ACTIVE)),
    st.sampled_from([0, 10, 25, 50, 100]),
    st.just(START),
    is_serving=st.booleans(),
    is_approved=st.booleans(),
    is_frozen=st.booleans(),
    trip_errors=st.sampled_from([0, 0, 6]),
    blind_ticks=st.sampled_from([0, 5, 6]),
)
plans = st.builds(StagePlan, st.just(10), st.sampled_from([(), (10, 25, 50)]), st.booleans())


@given(progresses, plans, st.lists(judgments, max_size=3), st.floats(0, 1200))
def test_it_agrees_with_the_decision(
    progress: Progress, plan: StagePlan, judged: list[Judgment], passed_seconds: float
) -> None:
    now = START + timedelta(seconds=passed_seconds)
    sentence = describe_hold(progress, plan, judged, seconds_left(progress, plan, now), {})
    moves = decide(progress, plan, judged, now).next
    is_done = progress.run_state is RunState.DONE
    goes_on = moves in (Next.ADVANCE, Next.STEP, Next.FINISH) or (is_done and moves is Next.STAY)
    assert sentence.startswith("Nothing holds it: it") == goes_on
    assert sentence.startswith("A guard takes it back") == (moves is Next.TRIP)


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
