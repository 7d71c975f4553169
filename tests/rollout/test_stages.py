"""The next step of a rollout, from its progress, its plan and its judgments."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.choices import Consequence, Guard, RunState, Stage, Verdict
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import (
    ACTIVE,
    ORDER,
    Decision,
    Next,
    Progress,
    StagePlan,
    decide,
    percent_on_entry,
    seconds_left,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
PLAN = StagePlan(minutes=10)
PARTIAL = StagePlan(minutes=30, percents=(10, 25, 50))
PASSED = [Judgment(Guard.HIT_RATE, 0.9, 0.7, 100, Verdict.PASS)]
LATER = START + timedelta(hours=1)
DARK = Progress(Stage.DARK_MODE, RunState.RUNNING, 0, START)


def violation(leads: Consequence = Consequence.DISABLE) -> Judgment:
    return Judgment(Guard.ERRORS, 6, 5, 10, Verdict.VIOLATION, leads)


def after(
    minutes: float, progress: Progress = DARK, plan: StagePlan = PLAN, judgments: list[Judgment] = PASSED
) -> Decision:
    return decide(progress, plan, judgments, START + timedelta(minutes=minutes))


def test_it_stays_for_its_time_and_then_advances() -> None:
    assert after(9.9).next is Next.STAY
    assert after(9.9).reasons == ("6 s are left",)
    assert (after(10).next, after(10).stage) == (Next.ADVANCE, Stage.SHADOW_MODE)


def test_a_pause_moves_the_deadline_and_a_pace_shortens_it() -> None:
    paused = replace(DARK, paused_seconds=120)
    assert (after(11.9, paused).next, after(12, paused).next) == (Next.STAY, Next.ADVANCE)
    hasty = replace(DARK, pace=0.05)
    assert (seconds_left(hasty, PLAN, START), after(0.5, hasty).next) == (30, Next.ADVANCE)


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_without_a_pass_it_does_not_leave_its_stage(verdict: Verdict) -> None:
    lacking = [*PASSED, Judgment(Guard.P95_MS, None, 1000, 3, verdict)]
    assert decide(DARK, PLAN, lacking, LATER).next is Next.STAY
    assert decide(DARK, PLAN, lacking, LATER).reasons == (
        f"p95_ms not measured (limit ≤ 1,000 ms, 3 samples): {verdict.value}",
    )
    assert decide(DARK, PLAN, [], LATER).reasons == ("no guard was measured",)


def test_a_guard_that_only_warns_does_not_delay_it() -> None:
    warned = [*PASSED, violation(Consequence.WARN)]
    assert decide(DARK, PLAN, warned, LATER).next is Next.ADVANCE


def test_the_percents_share_the_time_and_each_needs_its_own_sample() -> None:
    progress, percents = Progress(Stage.PARTIAL_ACTIVE, RunState.RUNNING, 10, START), []
    passed = [replace(PASSED[0], needed=50, step_samples=50)]
    for _ in range(2):
        assert after(9.9, progress, PARTIAL, passed).next is Next.STAY
        assert after(10, progress, PARTIAL, []).next is Next.STAY
        lacking = after(10, progress, PARTIAL, [replace(passed[0], step_samples=49)])
        assert lacking.reasons == (f"hit_rate has 49 of 50 samples at {progress.percent} %",)
        step = after(10, progress, PARTIAL, passed)
        percents.append(step.percent)
        progress = replace(progress, percent=step.percent)
    assert percents == [25, 50]
    assert after(10, progress, PARTIAL, [replace(passed[0], step_samples=49)]).next is Next.STAY
    leaving = after(10, progress, PARTIAL, passed)
    assert (leaving.next, leaving.stage) == (Next.ADVANCE, Stage.FULL_ACTIVE)
    assert percent_on_entry(Stage.PARTIAL_ACTIVE, PARTIAL) == 10


def test_time_in_which_a_stage_was_not_in_effect_does_not_count() -> None:
    idle = replace(DARK, idle_seconds=120)
    assert (after(11.9, idle).next, after(12, idle).next) == (Next.STAY, Next.ADVANCE)
    off = after(12, replace(DARK, is_serving=False))
    assert (off.next, off.reasons) == (
        Next.STAY,
        ("serving is off, and this time does not count; run: manage.py reactivate serving",),
    )
    assert after(0, replace(DARK, is_serving=False), judgments=[violation()]).next is Next.TRIP


def test_a_stage_of_a_million_years_has_a_deadline() -> None:
    assert seconds_left(DARK, StagePlan(minutes=1e12), START) == 6e13


def test_full_active_finishes_and_is_watched_for_ever() -> None:
    full = Progress(Stage.FULL_ACTIVE, RunState.RUNNING, 100, START)
    assert after(10, full).next is Next.FINISH
    done = replace(full, run_state=RunState.DONE)
    assert after(10, done).next is Next.STAY
    assert after(10, done, judgments=[violation()]).next is Next.TRIP


def test_it_waits_for_a_required_approval() -> None:
    plan = replace(PLAN, needs_approval=True)
    assert after(10, plan=plan).next is Next.WAIT
    assert after(10, replace(DARK, is_approved=True), plan).next is Next.ADVANCE


def test_a_reason_that_names_a_command_names_the_rollout() -> None:
    """Without a name the command would act on the default rollout."""
    odds = replace(DARK, name="new-odds")
    waiting = after(10, odds, replace(PLAN, needs_approval=True))
    assert waiting.reasons == ("an operator must approve; run: manage.py rollout approve new-odds",)
    paused = after(10, replace(odds, run_state=RunState.PAUSED))
    assert paused.reasons == ("the rollout is paused; run: manage.py rollout resume new-odds",)


def test_while_frozen_it_does_not_advance() -> None:
    decision = after(10, replace(DARK, is_frozen=True))
    assert decision.reasons == ("automatic advances are frozen; run: manage.py rollout unfreeze",)


def test_a_violation_leads_to_the_place_in_its_policy() -> None:
    partial = Progress(Stage.PARTIAL_ACTIVE, RunState.RUNNING, 25, START)
    assert after(0, partial, PARTIAL, [violation()]).stage is Stage.DISABLED
    assert after(0, partial, PARTIAL, [violation(Consequence.STEP_BACK)]).stage is Stage.SHADOW_MODE
    both = [violation(Consequence.STEP_BACK), violation()]
    assert after(0, partial, PARTIAL, both).stage is Stage.DISABLED
    reasons = after(0, partial, PARTIAL, [violation()]).reasons
    assert reasons == ("errors 6 (limit ≤ 5, 10 samples): VIOLATION",)


def test_too_many_ticks_without_a_measurement_are_a_violation() -> None:
    assert after(0, replace(DARK, blind_ticks=5)).next is Next.STAY
    assert after(0, replace(DARK, blind_ticks=6)).next is Next.TRIP


any_progress = st.builds(
    Progress,
    stage=st.sampled_from(ORDER[1:]),
    run_state=st.sampled_from(sorted(ACTIVE)),
    percent=st.integers(0, 100),
    entered_at=st.just(START),
    paused_seconds=st.floats(0, 1e5),
    pace=st.floats(0.01, 10),
    is_approved=st.booleans(),
    is_frozen=st.booleans(),
    trip_errors=st.sampled_from([0, 6]),
    blind_ticks=st.integers(0, 5),
)
any_judgments = st.lists(
    st.builds(
        Judgment,
        st.sampled_from(sorted(Guard)).map(Guard),
        st.floats(0, 10),
        st.just(5.0),
        st.integers(0, 100),
        st.sampled_from(sorted(Verdict)).map(Verdict),
        st.sampled_from(sorted(Consequence)).map(Consequence),
    ),
    max_size=6,
)
any_plan = st.builds(StagePlan, st.floats(0, 100), st.sampled_from([(), (10, 25, 50), (1,)]), st.booleans())


@given(any_progress, any_plan, any_judgments, st.floats(0, 1e5))
def test_a_trip_comes_before_everything_else(
    progress: Progress, plan: StagePlan, judgments: list[Judgment], minutes: float
) -> None:
    decision = decide(progress, plan, judgments, START + timedelta(minutes=minutes))
    violations = [
        judgment
        for judgment in judgments
        if judgment.verdict is Verdict.VIOLATION and judgment.leads is not Consequence.WARN
    ]
    assert (decision.next is Next.TRIP) == bool(progress.trip_errors or violations)
    assert decision.reasons


@given(any_progress, any_plan, any_judgments, st.floats(0, 1e5))
def test_it_advances_by_one_stage_and_only_on_a_pass(
    progress: Progress, plan: StagePlan, judgments: list[Judgment], minutes: float
) -> None:
    decision = decide(progress, plan, judgments, START + timedelta(minutes=minutes))
    if decision.next is Next.ADVANCE:
        assert ORDER.index(decision.stage) == ORDER.index(progress.stage) + 1
        binding = [judgment.verdict for judgment in judgments if judgment.leads is not Consequence.WARN]
        assert binding and set(binding) == {Verdict.PASS}
        assert not progress.is_frozen and progress.run_state in (RunState.RUNNING, RunState.WAITING)
        assert seconds_left(progress, plan, START + timedelta(minutes=minutes)) == 0
    if decision.next in (Next.STEP, Next.ADVANCE) and decision.stage is progress.stage:
        assert decision.percent > progress.percent


@pytest.mark.parametrize("run_state", [RunState.IDLE, RunState.COOLING])
def test_a_rollout_that_does_not_run_stays(run_state: RunState) -> None:
    assert after(10, replace(DARK, run_state=run_state), judgments=[violation()]).next is Next.STAY
