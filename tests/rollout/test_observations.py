"""Observations are checked where they are made: an odd value harms neither the caller nor the counting."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rollout.choices import Stage
from rollout.decisions.stages import Arm
from rollout.gate import Answer
from rollout.gate.counters import Counters
from rollout.gate.counting.observation import Observation
from tests.processes import until
from tests.rollout.gate_world import IN, OUT, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    world = World()
    world.at(Stage.FULL_ACTIVE)
    return world


class Hostile:
    """A value that raises when it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __bool__(self) -> bool:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("arm", "ms", "options"),
    [
        ("candidate", 1.0, {}),
        (None, 1.0, {}),
        (Arm.CANDIDATE, math.nan, {}),
        (Arm.CANDIDATE, math.inf, {}),
        (Arm.CANDIDATE, 10**400, {}),
        (Arm.CANDIDATE, -1, {}),
        (Arm.CANDIDATE, "1", {}),
        (Arm.CANDIDATE, True, {}),
        (Arm.CANDIDATE, None, {}),
        (Arm.CANDIDATE, np.array([1.0]), {}),
        (Arm.CANDIDATE, 1.0, {"is_error": "no"}),
        (Arm.CANDIDATE, 1.0, {"is_hit": 1}),
        (Arm.CANDIDATE, 1.0, {"is_same": np.array([True])}),
        (Arm.CANDIDATE, 1.0, {"metrics": {"a b": 1}}),
        (Arm.CANDIDATE, 1.0, {"metrics": {"a" * 31: 1}}),
        (Arm.CANDIDATE, 1.0, {"metrics": {"a": math.nan}}),
        (Arm.CANDIDATE, 1.0, {"metrics": {"a": 1e200}}),
        (Arm.CANDIDATE, 1.0, {"metrics": {"a": -(10**400)}}),
        (Arm.CANDIDATE, 1.0, {"metrics": {"a": "1"}}),
        (Arm.CANDIDATE, 1.0, {"metrics": {f"a{number}": 1 for number in range(21)}}),
        (Arm.CANDIDATE, 1.0, {"metrics": [1]}),
    ],
)
def test_an_odd_value_is_dropped_and_counted(world: World, arm: Any, ms: Any, options: dict[str, Any]) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            world.gate.observe(arm, ms, **options)
        world.gate.observe(Arm.CANDIDATE, 1.0)
        assert world.figures() == {"candidate": 1, "dropped": 2}
    [entry] = logs  # the reason is logged once
    assert entry["rollout"] == "derived-data"
    assert entry["reason"]


def test_a_value_that_raises_when_it_is_looked_at_is_dropped(world: World) -> None:
    world.gate.observe(Arm.CANDIDATE, Hostile())  # type: ignore[arg-type]
    world.gate.observe(Arm.CANDIDATE, 1.0, is_hit=Hostile(), key=Hostile(), metrics=Hostile())  # type: ignore[arg-type]
    assert world.figures() == {"dropped": 2}


def test_numbers_and_flags_of_other_types_are_counted(world: World) -> None:
    for ms in (1, 0, np.float32(2.5), np.int64(3), np.float64(4), 1e300):
        world.gate.observe(Arm.CANDIDATE, ms, is_error=np.False_, is_hit=np.True_, key=IN)  # type: ignore[arg-type]
    metrics = {"margin": np.float64(0.5), "is-fresh": np.True_, "rows_read": 3}
    world.gate.observe(Arm.CONTROL, 1.0, metrics=metrics)  # type: ignore[arg-type]
    world.gate.run(OUT, control=fails_never, candidate=lambda: Answer("value", metrics={"margin": 0.5}))
    assert world.figures() == {"candidate": 7, "control": 1}
    assert world.counted(Arm.CANDIDATE).hits == 6


def fails_never() -> str:
    return "control"


def test_metrics_of_an_answer_that_cannot_be_counted_harm_no_answer(world: World) -> None:
    answer = Answer("value", metrics={"margin": math.inf})
    assert world.gate.run(IN, control=fails_never, candidate=lambda: answer) == "value"
    assert world.figures() == {"dropped": 1}


def test_a_huge_metric_hides_no_errors(world: World) -> None:
    for number in range(10):
        world.gate.observe(Arm.CANDIDATE, 1.0, is_error=number < 5, metrics={"margin": 1e99})
    world.gate.observe(Arm.CANDIDATE, 1.0, metrics={"margin": 1e308})
    assert world.figures() == {"candidate": 10, "candidate errors": 5, "dropped": 1}
    assert math.isfinite(world.counted(Arm.CANDIDATE).own["margin"].squares)


def test_names_of_metrics_that_never_end_are_dropped(world: World) -> None:
    with capture_logs() as logs:
        for number in range(150):
            world.gate.observe(Arm.CANDIDATE, 1.0, metrics={f"account-{number}": 1})
    assert world.figures() == {"candidate": 100, "dropped": 50}
    assert len(world.counted(Arm.CANDIDATE).own) == 100
    assert "at most 100 different names" in logs[0]["reason"]


class Recorder(Counters):
    """Counters that show what they were given."""

    def __init__(self) -> None:
        super().__init__(lambda name: None)
        self.observations: list[Observation] = []

    def observe(self, observation: Observation) -> None:
        self.observations.append(observation)


@pytest.fixture
def recorder(world: World) -> Recorder:
    world.process.counters = recorder = Recorder()
    return recorder


def test_an_observation_has_its_key_visit_and_metrics(world: World, recorder: Recorder) -> None:
    metrics = {"margin": 0.5}
    world.gate.run(IN, control=fails_never, candidate=lambda: Answer("value", metrics=metrics))
    world.gate.observe(Arm.CANDIDATE, 1.0, key=IN, metrics=metrics)
    metrics["margin"] = 1.0  # what a caller changes later does not matter
    for observation in recorder.observations:
        assert (observation.key, observation.visit, observation.metrics) == (
            IN,
            world.states.visit_of("derived-data"),
            {"margin": 0.5},
        )


def test_a_call_of_control_beside_which_no_candidate_can_run_is_alone(world: World, recorder: Recorder) -> None:
    def run(**options: Any) -> None:
        world.gate.run(OUT, control=fails_never, candidate=fails_never, **options)
        world.gate.observe(Arm.CONTROL, 1.0)

    world.at(Stage.DARK_MODE)
    run()
    run(probe=lambda: None)
    world.at(Stage.PARTIAL_ACTIVE)
    run()
    world.at(Stage.SHADOW_MODE)
    run()
    assert until(lambda: len(recorder.observations) == 10 and not world.pool.running)
    controls = [each.is_alone for each in recorder.observations if each.arm is Arm.CONTROL]
    assert controls == [True, True, False, True, False, False, False, True]
    assert not any(each.is_alone for each in recorder.observations if each.arm is Arm.CANDIDATE)


def test_a_comparison_that_fails_is_part_of_the_observation(world: World, recorder: Recorder) -> None:
    world.at(Stage.SHADOW_MODE)
    world.gate.run(IN, control=fails_never, candidate=fails_never, same=lambda one, other: "yes")
    assert until(lambda: len(recorder.observations) == 2)
    shadow = recorder.observations[1]
    assert (shadow.is_error, shadow.is_same, shadow.has_compare_failed) == (False, None, True)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.builds(Decimal) | st.just(np.float32(1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=40), inner, max_size=3),
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.sampled_from([*Arm, "control", None]), anything, anything, anything, anything, anything)
def test_no_value_stops_the_counting(
    world: World, arm: Any, ms: Any, is_error: Any, is_hit: Any, key: Any, metrics: Any
) -> None:
    world.gate.observe(arm, ms, is_error=is_error, is_hit=is_hit, key=key, metrics=metrics)
    assert world.counters.flush()
