"""Trips take effect in every process at once, also while PostgreSQL hangs."""

import os
import signal

import pytest
from django.contrib.postgres.functions import RandomUUID
from django.db import connection
from django.db.models import F

from core.redis import client, key
from rollout.choices import Stage
from rollout.decisions.stages import Arm
from rollout.gate.refreshing import RefreshThreads
from rollout.models import Rollout
from tests.conftest import committed, look
from tests.processes import until
from tests.rollout.gate_world import IN, NAME, World, fails

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


def trip(world: World) -> None:
    for _ in range(6):
        world.run(IN, fails)
    assert until(world.counters.flush)


def trip_message() -> bytes:
    """Return the message with which another process announces a trip of the present attempt."""
    return b"trip " + Rollout.objects.get(name=NAME).attempt.hex.encode()


def sessions() -> set[int]:
    """Return the processes of PostgreSQL that serve this database's sessions."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        return {row[0] for row in cursor}


@committed
def test_a_trip_reaches_another_process_while_its_query_hangs(world: World) -> None:
    other = World()
    threads = RefreshThreads(other.states)
    world.at(Stage.FULL_ACTIVE)
    sessions_before = sessions()
    threads.start()
    assert until(lambda: other.gate.decide(IN) is Arm.CANDIDATE)
    stopped = sessions() - sessions_before
    assert stopped, "the thread that reads PostgreSQL has a session"
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        trip(world)
        assert world.gate.decide(IN) is Arm.CONTROL
        assert until(lambda: other.gate.decide(IN) is Arm.CONTROL, seconds=10)  # after 30 s its states are too old
        assert other.gate.state().has_tripped
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        threads.stop()


def test_a_message_trips_a_rollout_without_postgresql_or_another_look_at_redis(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    world.states.act_on(trip_message())
    assert world.gate.decide(IN) is Arm.CONTROL
    assert world.gate.state().has_tripped


OTHERS = [b"trip 7f", b"trip derived-data", b"trip ", b"derived-data", b"all", b"\xff", b""]


@pytest.mark.parametrize("message", OTHERS)
def test_another_message_trips_nothing(world: World, message: bytes) -> None:
    world.at(Stage.FULL_ACTIVE)
    world.states.act_on(message)
    assert world.gate.decide(IN) is Arm.CANDIDATE


def test_a_message_of_a_settled_trip_trips_nothing(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    message = trip_message()
    Rollout.objects.update(attempt=RandomUUID())
    world.states.refresh()
    world.states.act_on(message)
    assert world.gate.decide(IN) is Arm.CANDIDATE


def test_an_answer_of_postgresql_that_is_late_does_not_undo_a_trip(world: World) -> None:
    """The query began before the trip, and its answer arrives after it."""

    def trip_in_between(execute: object, sql: str, *rest: object) -> object:
        answer = execute(sql, *rest)  # type: ignore[operator]
        if "rollout_rollout" in sql:
            world.states.act_on(message)
        return answer

    world.at(Stage.FULL_ACTIVE)
    message = trip_message()
    with connection.execute_wrapper(trip_in_between):
        world.states.refresh_rows()
    assert world.gate.decide(IN) is Arm.CONTROL


def test_a_transition_that_settles_the_trip_ends_it(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    trip(world)
    assert world.gate.decide(IN) is Arm.CONTROL
    look(world.states)
    assert world.gate.decide(IN) is Arm.CONTROL
    Rollout.objects.filter(name=NAME).update(epoch=F("epoch") + 1, attempt=RandomUUID())
    look(world.states)
    assert world.gate.decide(IN) is Arm.CANDIDATE


def test_a_trip_does_not_bind_another_rollout_of_the_same_name(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    trip(world)
    assert world.gate.decide(IN) is Arm.CONTROL
    Rollout.objects.filter(name=NAME).update(epoch=1, attempt=RandomUUID())
    look(world.states)
    assert world.gate.decide(IN) is Arm.CANDIDATE


def test_rows_of_a_query_that_took_long_are_as_old_as_its_beginning(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    world.states.expire()
    world.states.refresh_marks()
    assert world.gate.decide(IN) is Arm.CONTROL  # the marks alone are not enough
    world.states.refresh_rows()
    assert world.gate.decide(IN) is Arm.CANDIDATE
    client().delete(key("heartbeat"))
    world.states.refresh_marks()
    assert world.gate.decide(IN) is Arm.CONTROL
