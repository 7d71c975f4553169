"""The gate: who is served by what, and that nothing the candidate does harms an answer."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from core.access.actors import Machine
from core.redis import client, key
from rollout.choices import Stage
from rollout.decisions.guards import Counts
from rollout.decisions.latency import percentile
from rollout.decisions.stages import Arm
from rollout.gate import Answer, Gate, heartbeat, mismatches
from rollout.gate.bucketing import bucket
from rollout.gate.counters import Metrics, read
from rollout.gate.in_flight import InFlight
from rollout.gate.shadow import Shadows
from rollout.gate.view import Views
from rollout.models import Rollout
from rollout.operations import lifecycle
from tests.conftest import committed, look
from tests.processes import until

pytestmark = pytest.mark.django_db
NAME = "derived-data"
IN, OUT = "user-6", "user-1"  # below and above 10 %


class World:
    """A process with its gate: its view is renewed when the test says so."""

    def __init__(self) -> None:
        self.views = Views()
        self.metrics = Metrics(self.views.visit_of)
        self.shadows = Shadows(limit_seconds=0.05)
        self.in_flight = InFlight(limit_seconds=0.05)
        self.gate = Gate(NAME, self.views, self.metrics, self.shadows, self.in_flight)

    def at(self, stage: Stage, percent: int = 10) -> None:
        Rollout.objects.filter(name=NAME).update(stage=stage, run_state="running", percent=percent, epoch=7)
        look(self.views)

    def counted(self, arm: Arm) -> Counts:
        self.metrics.flush()
        visit = self.views.visit_of(NAME)
        assert visit is not None
        return read(NAME, arm, visit)

    def abandoned(self) -> int:
        self.shadows.abandon_overdue()
        return self.counted(Arm.CANDIDATE).errors

    def run(self, user: str, candidate: Callable[[], Any], **more: Any) -> Any:
        return self.gate.run(user, control=lambda: "control", candidate=candidate, **more)


@pytest.fixture
def world() -> World:
    return World()


def fails() -> None:
    raise ZeroDivisionError


def exits() -> None:
    raise SystemExit(1)


def test_the_keys_of_these_tests_lie_where_they_say() -> None:
    assert bucket(NAME, IN) < 10 < 50 < bucket(NAME, OUT)


@pytest.mark.parametrize(
    ("stage", "of_in", "of_out"),
    [
        (Stage.DISABLED, "control", "control"),
        (Stage.DARK_MODE, "control", "control"),
        (Stage.SHADOW_MODE, "control", "control"),
        (Stage.PARTIAL_ACTIVE, "candidate", "control"),
        (Stage.FULL_ACTIVE, "candidate", "candidate"),
    ],
)
def test_each_stage_serves_what_it_is_for(world: World, stage: Stage, of_in: str, of_out: str) -> None:
    world.at(stage)
    assert [world.run(user, lambda: "candidate") for user in (IN, OUT)] == [of_in, of_out]
    assert [world.gate.decide(user).value for user in (IN, OUT)] == [of_in, of_out]


def test_both_arms_are_counted(world: World) -> None:
    world.at(Stage.PARTIAL_ACTIVE)
    world.run(IN, lambda: Answer("value", is_hit=True))
    world.run(IN, lambda: Answer("value", is_hit=False))
    world.run(OUT, lambda: "value")
    world.gate.observe(Arm.CANDIDATE, 12.0, is_error=True)
    found = world.counted(Arm.CANDIDATE)
    assert (found.requests, found.errors, found.hits, found.misses) == (3, 1, 1, 1)
    assert world.counted(Arm.CONTROL).requests == 1


@pytest.mark.parametrize("candidate", [fails, exits])
def test_a_candidate_that_fails_is_counted_and_answered_by_control(world: World, candidate: Callable[[], Any]) -> None:
    world.at(Stage.FULL_ACTIVE)
    assert world.run(IN, candidate) == "control"
    assert (world.counted(Arm.CANDIDATE).errors, world.metrics.wake.is_set()) == (1, True)


def test_controls_failures_are_the_callers(world: World) -> None:
    world.at(Stage.DARK_MODE)
    with pytest.raises(ZeroDivisionError):
        world.gate.run(OUT, control=fails, candidate=lambda: "candidate")
    assert world.counted(Arm.CONTROL).errors == 1


def test_in_dark_mode_the_cache_is_probed(world: World) -> None:
    world.at(Stage.DARK_MODE)
    for probe in (lambda: True, lambda: False, fails):
        assert world.run(IN, fails, probe=probe) == "control"
    found = world.counted(Arm.CANDIDATE)
    assert (found.hits, found.misses, found.errors) == (1, 2, 1)


def test_in_shadow_mode_the_candidate_is_compared_beside(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    answers: list[Any] = ["control", "other", Answer("other", version=2), fails, exits]
    for number, answer in enumerate(answers, 1):
        candidate = answer if callable(answer) else (lambda answer=answer: answer)
        assert world.run(IN, candidate) == "control"
        assert until(lambda number=number: world.counted(Arm.CANDIDATE).requests == number)  # type: ignore[misc]
    found = world.counted(Arm.CANDIDATE)
    assert (found.compared, found.mismatches, found.errors) == (2, 1, 2)
    assert until(lambda: mismatches.kept(NAME) == [("'control'", "'other'")])
    assert world.run(IN, lambda: "CONTROL", same=lambda one, other: one.lower() == other.lower()) == "control"
    assert until(lambda: world.counted(Arm.CANDIDATE).compared == 3)
    assert world.counted(Arm.CANDIDATE).mismatches == 1


def test_a_candidate_that_hangs_delays_nobody_and_is_abandoned(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    hold = threading.Event()
    for _ in range(6):
        assert world.run(IN, hold.wait) == "control"
    assert world.shadows.skipped == 2  # four at once
    assert until(lambda: world.abandoned() == 4)
    for _ in range(4):
        world.run(IN, hold.wait)
    assert until(lambda: world.abandoned() == 8)
    assert world.run(IN, lambda: "control") == "control"
    assert world.shadows.skipped == 3  # as many as there may be hang already
    hold.set()
    assert until(lambda: not world.shadows._abandoned)
    assert world.counted(Arm.CANDIDATE).requests == 8  # what they say at last is ignored


def test_a_trip_takes_effect_with_the_next_look(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    for _ in range(6):
        world.run(IN, fails)
    world.metrics.flush()
    other = World()
    other.views.check()
    assert [each.run(IN, lambda: "candidate") for each in (world, other)] == ["candidate", "control"]
    world.views.check()
    assert world.run(IN, lambda: "candidate") == "control"
    Rollout.objects.update(epoch=8, percent=50)  # an advance that raced it
    world.views.check()
    assert world.run(IN, lambda: "candidate") == "control"


def test_a_trip_that_is_known_stays_known_without_redis(world: World, settings: Settings) -> None:
    world.at(Stage.FULL_ACTIVE)
    for _ in range(6):
        world.run(IN, fails)
    world.metrics.flush()
    world.views.check()
    there, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    client.cache_clear()
    world.views.check()
    assert world.gate.decide(IN) is Arm.CONTROL
    settings.REDIS_URL = there
    client.cache_clear()


def test_without_ticks_control_is_served(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    client().delete(key("heartbeat"))
    world.views.check()
    assert world.run(IN, lambda: "candidate") == "control"
    heartbeat.beat()
    world.views.check()
    assert world.run(IN, lambda: "candidate") == "candidate"


def borne_for_a_while(world: World) -> None:
    world.views.check()
    assert world.run(IN, lambda: "candidate") == "candidate"
    world.views._until -= 31
    world.views.check()
    assert world.run(IN, lambda: "candidate") == "control"


def test_without_redis_the_view_holds_for_a_while(world: World, settings: Settings) -> None:
    world.at(Stage.FULL_ACTIVE)
    there, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    client.cache_clear()
    borne_for_a_while(world)
    settings.REDIS_URL = there
    client.cache_clear()


@committed
def test_without_postgresql_the_view_holds_for_a_while(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    borne_for_a_while(world)
    connection.settings_dict["HOST"] = host
    world.views.check()
    assert world.run(IN, lambda: "candidate") == "candidate"


@committed
def test_a_thread_keeps_the_view_current(world: World) -> None:
    heartbeat.beat()
    world.views.start()
    assert until(lambda: world.views.get(NAME) is not None)
    Rollout.objects.update(stage=Stage.FULL_ACTIVE, run_state="running", epoch=9)
    client().publish(key("rollouts"), "moved")
    assert until(lambda: world.gate.decide(OUT) is Arm.CANDIDATE)
    world.views.stop()


def test_nobody_is_served_the_candidate_before_the_first_look(world: World) -> None:
    assert world.gate.decide(IN) is Arm.CONTROL
    assert world.run(IN, fails) == "control"


def test_a_stage_visit_begins_with_its_transition(world: World) -> None:
    rollout = Rollout.objects.get(name=NAME)
    lifecycle.start(rollout, actor=Machine("anna"), reason="")
    lifecycle.pause(Rollout.objects.get(), actor=Machine("anna"), reason="")
    lifecycle.resume(Rollout.objects.get(), actor=Machine("anna"), reason="")
    heartbeat.beat()
    world.views.check()
    visit = world.views.visit_of(NAME)
    assert visit is not None
    assert (visit.first_epoch, visit.epoch, visit.errors_at_most) == (1, 3, None)
    world.at(Stage.FULL_ACTIVE)
    visit = world.views.visit_of(NAME)
    assert visit is not None
    assert (visit.errors_at_most, visit.window_seconds) == (5, 600)


def test_a_candidate_that_hangs_while_it_is_served_is_counted_before_it_returns(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    hold, answers = threading.Event(), []
    thread = threading.Thread(target=lambda: answers.append(world.run(IN, lambda: hold.wait() and "late")))
    thread.start()

    def counted() -> Counts:
        world.in_flight.count_overdue()
        return world.counted(Arm.CANDIDATE)

    assert until(lambda: counted().errors == 1)
    assert percentile(counted().latencies, 0.95) >= 5000  # type: ignore[operator]
    hold.set()
    thread.join()
    assert answers == ["late"]
    assert counted().requests == 1  # not once more


def test_what_is_nothing_to_answer_is_not_counted(world: World) -> None:
    nothing = Answer("nothing", is_counted=False)
    for stage in (Stage.DARK_MODE, Stage.FULL_ACTIVE):
        world.at(stage)
        assert world.gate.run(IN, control=lambda: nothing, candidate=lambda: nothing) == "nothing"
        assert (world.counted(Arm.CANDIDATE).requests, world.counted(Arm.CONTROL).requests) == (0, 0)


def test_a_probe_that_exits_harms_nobody(world: World) -> None:
    world.at(Stage.DARK_MODE)
    assert world.run(IN, fails, probe=exits) == "control"
    assert world.counted(Arm.CANDIDATE).errors == 1


def test_a_machine_without_threads_answers_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    world.at(Stage.SHADOW_MODE)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert [world.run(IN, lambda: "candidate") for _ in range(20)] == ["control"] * 20
    assert world.shadows.skipped == 20
