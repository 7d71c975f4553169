"""What becomes of a rollout next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.choices import Consequence, Guard, RunState, Stage, Verdict
from rollout.decisions.guards import Judged
from rollout.decisions.stages import ACTIVE, ORDER, Decision, Next, Plan, State, decide, seconds_left, share_on_entry

START = datetime(2026, 1, 5, tzinfo=UTC)
PLAN = Plan(minutes=10)
PARTIAL = Plan(minutes=30, percents=(10, 25, 50))
PASSED = [Judged(Guard.HIT_RATE, 0.9, 0.7, 100, Verdict.PASS)]
LATER = START + timedelta(hours=1)
DARK = State(Stage.DARK_MODE, RunState.RUNNING, 0, START)


def violation(leads: Consequence = Consequence.DISABLE) -> Judged:
    return Judged(Guard.ERRORS, 6, 5, 10, Verdict.VIOLATION, leads)


def after(minutes: float, state: State = DARK, plan: Plan = PLAN, judged: list[Judged] = PASSED) -> Decision:
    return decide(state, plan, judged, START + timedelta(minutes=minutes))


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
    lacking = [*PASSED, Judged(Guard.P95_MS, None, 1000, 3, verdict)]
    assert decide(DARK, PLAN, lacking, LATER).next is Next.STAY
    assert decide(DARK, PLAN, lacking, LATER).reasons == (f"p95_ms not measured, limit 1000, on 3: {verdict.value}",)
    assert decide(DARK, PLAN, [], LATER).reasons == ("nothing was measured",)


def test_what_only_warns_holds_nothing_up() -> None:
    warned = [*PASSED, violation(Consequence.WARN)]
    assert decide(DARK, PLAN, warned, LATER).next is Next.ADVANCE


def test_the_percents_share_the_time_and_need_no_pass() -> None:
    state, shares = State(Stage.PARTIAL_ACTIVE, RunState.RUNNING, 10, START), []
    for _ in range(2):
        assert after(9.9, state, PARTIAL, []).next is Next.STAY
        step = after(10, state, PARTIAL, [])
        shares.append(step.percent)
        state = replace(state, percent=step.percent)
    assert shares == [25, 50]
    assert after(10, state, PARTIAL, []).next is Next.STAY  # leaving needs a pass
    assert (after(10, state, PARTIAL).next, after(10, state, PARTIAL).stage) == (Next.ADVANCE, Stage.FULL_ACTIVE)
    assert share_on_entry(Stage.PARTIAL_ACTIVE, PARTIAL) == 10


def test_full_active_finishes_and_is_watched_for_ever() -> None:
    full = State(Stage.FULL_ACTIVE, RunState.RUNNING, 100, START)
    assert after(10, full).next is Next.FINISH
    done = replace(full, run_state=RunState.DONE)
    assert after(10, done).next is Next.STAY
    assert after(10, done, judged=[violation()]).next is Next.TRIP


def test_an_approval_is_waited_for() -> None:
    plan = replace(PLAN, needs_approval=True)
    assert after(10, plan=plan).next is Next.WAIT
    assert after(10, replace(DARK, is_approved=True), plan).next is Next.ADVANCE


def test_frozen_it_does_not_advance() -> None:
    assert after(10, replace(DARK, is_frozen=True)).reasons == ("automatic advances are frozen",)


def test_a_violation_leads_where_its_policy_says() -> None:
    partial = State(Stage.PARTIAL_ACTIVE, RunState.RUNNING, 25, START)
    assert after(0, partial, PARTIAL, [violation()]).stage is Stage.DISABLED
    assert after(0, partial, PARTIAL, [violation(Consequence.STEP_BACK)]).stage is Stage.SHADOW_MODE
    both = [violation(Consequence.STEP_BACK), violation()]
    assert after(0, partial, PARTIAL, both).stage is Stage.DISABLED
    assert after(0, partial, PARTIAL, [violation()]).reasons == ("errors 6, limit 5, on 10: VIOLATION",)


def test_guards_that_cannot_be_measured_so_often_are_a_violation() -> None:
    assert after(0, replace(DARK, blind_ticks=5)).next is Next.STAY
    assert after(0, replace(DARK, blind_ticks=6)).next is Next.TRIP


states = st.builds(
    State,
    stage=st.sampled_from(ORDER[1:]),
    run_state=st.sampled_from(sorted(ACTIVE)),
    percent=st.integers(0, 100),
    entered_at=st.just(START),
    paused_seconds=st.floats(0, 1e5),
    pace=st.floats(0.01, 10),
    is_approved=st.booleans(),
    is_frozen=st.booleans(),
    fell=st.sampled_from([0, 6]),
    blind_ticks=st.integers(0, 5),
)
verdicts = st.lists(
    st.builds(
        Judged,
        st.sampled_from(sorted(Guard)).map(Guard),
        st.floats(0, 10),
        st.just(5.0),
        st.integers(0, 100),
        st.sampled_from(sorted(Verdict)).map(Verdict),
        st.sampled_from(sorted(Consequence)).map(Consequence),
    ),
    max_size=6,
)
plans = st.builds(Plan, st.floats(0, 100), st.sampled_from([(), (10, 25, 50), (1,)]), st.booleans())


@given(states, plans, verdicts, st.floats(0, 1e5))
def test_whatever_else_holds_a_trip_comes_first(state: State, plan: Plan, judged: list[Judged], minutes: float) -> None:
    decision = decide(state, plan, judged, START + timedelta(minutes=minutes))
    fell = [one for one in judged if one.verdict is Verdict.VIOLATION and one.leads is not Consequence.WARN]
    assert (decision.next is Next.TRIP) == bool(state.fell or fell)
    assert decision.reasons


@given(states, plans, verdicts, st.floats(0, 1e5))
def test_it_advances_by_one_stage_and_only_on_a_pass(
    state: State, plan: Plan, judged: list[Judged], minutes: float
) -> None:
    decision = decide(state, plan, judged, START + timedelta(minutes=minutes))
    if decision.next is Next.ADVANCE:
        assert ORDER.index(decision.stage) == ORDER.index(state.stage) + 1
        binding = [one.verdict for one in judged if one.leads is not Consequence.WARN]
        assert binding and set(binding) == {Verdict.PASS}
        assert not state.is_frozen and state.run_state in (RunState.RUNNING, RunState.WAITING)
        assert seconds_left(state, plan, START + timedelta(minutes=minutes)) == 0
    if decision.next in (Next.STEP, Next.ADVANCE) and decision.stage is state.stage:
        assert decision.percent > state.percent


@pytest.mark.parametrize("run_state", [RunState.IDLE, RunState.COOLING])
def test_what_does_not_run_stays(run_state: RunState) -> None:
    assert after(10, replace(DARK, run_state=run_state), judged=[violation()]).next is Next.STAY
