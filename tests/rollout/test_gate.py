"""The gate: which arm serves which key, and that the candidate harms no answer."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils.functional import SimpleLazyObject
from pytest_django import Settings
from structlog.testing import capture_logs

from core.access.actors import Machine
from core.redis import client, key
from rollout.choices import Stage
from rollout.decisions.counts import Counts
from rollout.decisions.latency import percentile_ms
from rollout.decisions.stages import Arm
from rollout.gate import Answer, heartbeat, mismatches
from rollout.gate.bucketing import bucket
from rollout.gate.refreshing import RefreshThreads
from rollout.models import Rollout
from rollout.operations import lifecycle
from tests.conftest import committed, look
from tests.processes import until
from tests.rollout.gate_world import IN, NAME, OUT, World, exits, fails
from tests.rollout.outages import no_redis

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


def test_the_keys_of_these_tests_have_the_expected_buckets() -> None:
    assert bucket(NAME, IN) < 10 < 50 < bucket(NAME, OUT)


@pytest.mark.parametrize(
    ("stage", "for_in", "for_out"),
    [
        (Stage.DISABLED, "control", "control"),
        (Stage.DARK_MODE, "control", "control"),
        (Stage.SHADOW_MODE, "control", "control"),
        (Stage.PARTIAL_ACTIVE, "candidate", "control"),
        (Stage.FULL_ACTIVE, "candidate", "candidate"),
    ],
)
def test_each_stage_serves_its_arms(world: World, stage: Stage, for_in: str, for_out: str) -> None:
    world.at(stage)
    assert [world.run(user, lambda: "candidate") for user in (IN, OUT)] == [for_in, for_out]
    assert [world.gate.decide(user).value for user in (IN, OUT)] == [for_in, for_out]


def test_both_arms_are_counted(world: World) -> None:
    world.at(Stage.PARTIAL_ACTIVE)
    world.run(IN, lambda: Answer("value", is_hit=True))
    world.run(IN, lambda: Answer("value", is_hit=False))
    world.run(OUT, lambda: "value")
    world.gate.observe(Arm.CANDIDATE, 12.0, is_error=True)
    counts = world.counted(Arm.CANDIDATE)
    assert (counts.requests, counts.errors, counts.hits, counts.misses) == (3, 1, 1, 1)
    assert world.counted(Arm.CONTROL).requests == 1


@pytest.mark.parametrize("candidate", [fails, exits])
def test_a_candidate_that_fails_is_counted_and_answered_by_control(world: World, candidate: Callable[[], Any]) -> None:
    world.at(Stage.FULL_ACTIVE)
    assert world.run(IN, candidate) == "control"
    assert (world.counted(Arm.CANDIDATE).errors, world.counters.wake.is_set()) == (1, True)


def test_a_failure_of_control_is_raised_to_the_caller(world: World) -> None:
    world.at(Stage.DARK_MODE)
    with pytest.raises(ZeroDivisionError):
        world.gate.run(OUT, control=fails, candidate=lambda: "candidate")
    assert world.counted(Arm.CONTROL).errors == 1


def test_in_dark_mode_the_cache_is_probed(world: World) -> None:
    world.at(Stage.DARK_MODE)
    for probe in (lambda: True, lambda: False, fails):
        assert world.run(IN, fails, probe=probe) == "control"
    assert until(lambda: world.counted(Arm.CANDIDATE).requests == 3)
    counts = world.counted(Arm.CANDIDATE)
    assert (counts.hits, counts.misses, counts.errors) == (1, 2, 1)


def test_in_shadow_mode_the_candidate_runs_as_well_and_is_compared(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    answers: list[Any] = ["control", "other", Answer("other", version=2), fails, exits]
    for number, answer in enumerate(answers, 1):
        candidate = answer if callable(answer) else (lambda answer=answer: answer)
        assert world.run(IN, candidate) == "control"
        assert until(lambda number=number: world.counted(Arm.CANDIDATE).requests == number)  # type: ignore[misc]
    counts = world.counted(Arm.CANDIDATE)
    assert (counts.compared, counts.mismatches, counts.errors) == (2, 1, 2)
    assert until(lambda: mismatches.read_mismatches(NAME) == [("'control'", "'other'")])
    assert world.run(IN, lambda: "CONTROL", same=lambda one, other: one.lower() == other.lower()) == "control"
    assert until(lambda: world.counted(Arm.CANDIDATE).compared == 3)
    assert world.counted(Arm.CANDIDATE).mismatches == 1


def test_a_candidate_that_hangs_delays_no_answer_and_is_abandoned() -> None:
    world = World(limit_seconds=1.0)
    world.never_trips()
    world.at(Stage.SHADOW_MODE)
    hold = threading.Event()
    for _ in range(6):
        assert world.run(IN, hold.wait) == "control"
    assert world.pool.skipped == 2  # four run at once
    assert until(lambda: world.abandoned() == 4)
    for _ in range(4):
        world.run(IN, hold.wait)
    assert until(lambda: world.abandoned() == 8)
    assert world.run(IN, lambda: "control") == "control"
    assert world.pool.skipped == 3  # the limit of abandoned runs is reached
    hold.set()
    assert until(lambda: world.pool.abandoned == 0)
    assert world.counted(Arm.CANDIDATE).requests == 8  # their late results are ignored


def test_a_trip_takes_effect_at_once_in_its_process_and_with_the_next_refresh_in_others(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    for _ in range(6):
        world.run(IN, fails)
    other = World()
    look(other.states)
    world.counters.flush()
    assert [each.run(IN, lambda: "candidate") for each in (world, other)] == ["control", "candidate"]
    other.states.refresh()
    assert [each.run(IN, lambda: "candidate") for each in (world, other)] == ["control", "control"]
    Rollout.objects.update(epoch=8, percent=50)  # an advance that raced the trip
    world.states.refresh()
    assert world.run(IN, lambda: "candidate") == "control"


def test_a_known_trip_stays_known_without_redis(world: World, settings: Settings) -> None:
    world.at(Stage.FULL_ACTIVE)
    for _ in range(6):
        world.run(IN, fails)
    world.counters.flush()
    world.states.refresh()
    with no_redis(settings):
        world.states.refresh()
        assert world.gate.decide(IN) is Arm.CONTROL


def test_without_ticks_control_is_served(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    client().delete(key("heartbeat"))
    world.states.refresh()
    assert world.run(IN, lambda: "candidate") == "control"
    heartbeat.beat()
    world.states.refresh()
    assert world.run(IN, lambda: "candidate") == "candidate"


def serve_through_outage(world: World) -> None:
    """Check that an outage that has begun changes nothing until the states are too old."""
    world.states.refresh()
    assert world.run(IN, lambda: "candidate") == "candidate"
    world.states.expire()
    world.states.refresh()
    assert world.run(IN, lambda: "candidate") == "control"


def test_without_redis_the_states_hold_for_a_while(world: World, settings: Settings) -> None:
    world.at(Stage.FULL_ACTIVE)
    with no_redis(settings):
        serve_through_outage(world)


@committed
def test_without_postgresql_the_states_hold_for_a_while(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    serve_through_outage(world)
    connection.settings_dict["HOST"] = host
    world.states.refresh()
    assert world.run(IN, lambda: "candidate") == "candidate"


@committed
def test_a_thread_keeps_the_states_current(world: World) -> None:
    heartbeat.beat()
    threads = RefreshThreads(world.states)
    threads.start()
    assert until(lambda: world.states.find(NAME) is not None)
    Rollout.objects.update(stage=Stage.FULL_ACTIVE, run_state="running", epoch=9)
    client().publish(key("rollouts"), "moved")
    assert until(lambda: world.gate.decide(OUT) is Arm.CANDIDATE)
    threads.stop()


def test_before_the_first_refresh_control_is_served(world: World) -> None:
    assert world.gate.decide(IN) is Arm.CONTROL
    assert world.run(IN, fails) == "control"


@pytest.mark.parametrize(
    ("is_up_first", "consequence"),
    [(False, "gates answer control until it does"), (True, "the last decisions hold for 30 s, then")],
)
def test_an_outage_of_postgresql_is_logged_once_even_if_it_is_down_from_the_start(
    world: World, is_up_first: bool, consequence: str
) -> None:
    if is_up_first:
        world.at(Stage.FULL_ACTIVE)

    def fail(*query: Any) -> None:
        raise OperationalError("connection refused")

    with capture_logs() as logs, connection.execute_wrapper(fail):
        world.states.refresh()
        world.states.refresh()
    [entry] = logs
    assert (entry["log_level"], entry["error"]) == ("warning", "connection refused")
    assert entry["event"].startswith(f"PostgreSQL does not answer; {consequence}")


def test_a_stage_visit_begins_with_its_transition(world: World) -> None:
    rollout = Rollout.objects.get(name=NAME)
    lifecycle.start(rollout, actor=Machine("anna"), reason="")
    lifecycle.pause(Rollout.objects.get(), actor=Machine("anna"), reason="")
    lifecycle.resume(Rollout.objects.get(), actor=Machine("anna"), reason="")
    heartbeat.beat()
    world.states.refresh()
    visit = world.states.visit_of(NAME)
    assert visit is not None
    present = Rollout.objects.get(name=NAME)
    assert (visit.id, visit.attempt) == (present.visit.hex, present.attempt.hex)
    assert visit.id != rollout.visit.hex
    assert (visit.errors_at_most, visit.first_requests, visit.step) == (5, 200, 0)
    world.at(Stage.FULL_ACTIVE)
    visit = world.states.visit_of(NAME)
    assert visit is not None
    assert (visit.step, visit.window_seconds) == (100, 600)


def test_a_serving_candidate_that_hangs_is_counted_before_it_returns(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    hold, answers = threading.Event(), []
    thread = threading.Thread(target=lambda: answers.append(world.run(IN, lambda: hold.wait() and "late")))
    thread.start()

    def counted() -> Counts:
        world.in_flight.count_overdue()
        return world.counted(Arm.CANDIDATE)

    assert until(lambda: counted().errors == 1)
    assert percentile_ms(counted().latencies, 0.95) >= 5000  # type: ignore[operator]
    hold.set()
    thread.join()
    assert answers == ["late"]
    assert counted().requests == 1  # the call is not counted twice


def test_an_answer_that_is_not_to_be_counted_is_not(world: World) -> None:
    nothing = Answer("nothing", is_counted=False)
    for stage in (Stage.DARK_MODE, Stage.FULL_ACTIVE):
        world.at(stage)
        assert world.gate.run(IN, control=lambda: nothing, candidate=lambda: nothing) == "nothing"
        assert (world.counted(Arm.CANDIDATE).requests, world.counted(Arm.CONTROL).requests) == (0, 0)


def test_a_lazy_object_is_returned_as_it_is(world: World) -> None:
    lazy = SimpleLazyObject(fails)
    for stage in (Stage.DARK_MODE, Stage.FULL_ACTIVE):
        world.at(stage)
        assert world.gate.run(IN, control=lambda: lazy, candidate=lambda: lazy) is lazy
    assert world.figures() == {"control": 1, "candidate": 1}


def test_a_probe_that_exits_harms_no_answer(world: World) -> None:
    world.at(Stage.DARK_MODE)
    assert world.run(IN, fails, probe=exits) == "control"
    assert until(lambda: world.counted(Arm.CANDIDATE).errors == 1)


def test_a_machine_without_threads_still_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    world.at(Stage.SHADOW_MODE)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert [world.run(IN, lambda: "candidate") for _ in range(20)] == ["control"] * 20
    assert world.pool.skipped == 20
