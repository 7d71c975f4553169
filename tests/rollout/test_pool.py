"""Runs beside control: under the circumstances of the caller, in a pool of their own, and never in the caller's way."""

import contextvars
import math
import threading
from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import pytest
from django.db import connection, connections
from django.http import HttpResponse
from django.utils import timezone as django_timezone
from django.utils import translation
from pytest_django import Settings

from core.access.actors import SYSTEM
from rollout.choices import Stage
from rollout.decisions.stages import Arm
from rollout.gate import Answer, Gate
from rollout.gate.running.pool import Pool
from rollout.models import Rollout
from rollout.operations import policies
from tests.conftest import committed
from tests.processes import until
from tests.rollout.gate_world import IN, World, exits, fails

pytestmark = pytest.mark.django_db
REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


@pytest.fixture
def world() -> World:
    return World(limit_seconds=10.0)


def circumstances() -> tuple[str, str | None, str]:
    return REQUEST.get(), translation.get_language(), str(django_timezone.get_current_timezone())


def test_the_candidate_runs_in_the_circumstances_of_its_request(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    REQUEST.set("request 7")
    with translation.override("de"), django_timezone.override(timezone(timedelta(hours=3), "far")):
        world.gate.run(IN, control=circumstances, candidate=circumstances)
    assert circumstances()[1:] != ("de", "far")
    assert world.settles_at(control=1, candidate=1, compared=1)


def test_what_the_caller_changes_later_is_not_compared(world: World) -> None:
    hold = threading.Event()
    world.at(Stage.SHADOW_MODE)
    odds = world.gate.run(IN, control=lambda: {"odds": [1]}, candidate=lambda: hold.wait() and {"odds": [1]})
    odds["odds"].append(2)
    hold.set()
    assert world.settles_at(control=1, candidate=1, compared=1)


@pytest.mark.parametrize("options", [{}, {"copy": fails}])
def test_a_value_that_cannot_be_copied_is_not_compared_and_counts_all_the_same(
    world: World, options: dict[str, Any]
) -> None:
    lock = [threading.Lock()]
    world.at(Stage.SHADOW_MODE)
    assert world.gate.run(IN, control=lambda: lock, candidate=lambda: lock, **options) is lock
    assert world.settles_at(control=1, candidate=1)
    assert world.gate.run(IN, control=lambda: lock, candidate=lambda: lock, copy=None) is lock
    assert world.settles_at(control=2, candidate=2, compared=1)


@pytest.mark.parametrize("make", [HttpResponse, Rollout.objects.all, lambda: {math.nan}])
def test_values_that_differ_from_their_own_copies_are_no_mismatch(world: World, make: Callable[[], Any]) -> None:
    world.at(Stage.SHADOW_MODE)
    world.gate.run(IN, control=make, candidate=make)
    assert world.settles_at(control=1, candidate=1)
    assert world.counted(Arm.CANDIDATE).uncompared == 1
    world.gate.run(IN, control=make, candidate=make, same=lambda one, other: type(one) is type(other))
    assert world.settles_at(control=2, candidate=2, compared=1)


@pytest.mark.parametrize("same", [lambda one, other: fails(), lambda one, other: exits(), lambda one, other: "yes"])
def test_a_comparison_that_fails_is_no_error_of_the_candidate(world: World, same: Callable[..., Any]) -> None:
    world.at(Stage.SHADOW_MODE)
    world.run(IN, lambda: "candidate", same=same)
    assert world.settles_at(control=1, candidate=1)


def test_what_control_does_not_count_runs_nothing_beside_it(world: World) -> None:
    calls: list[int] = []
    nothing = Answer("nothing", is_counted=False)

    def candidate() -> None:
        calls.append(1)

    for stage in (Stage.DARK_MODE, Stage.SHADOW_MODE):
        world.at(stage)
        world.gate.run(IN, control=lambda: nothing, candidate=candidate, probe=candidate)
    assert (world.pool.running, calls) == (0, [])


def test_a_probe_that_hangs_delays_no_answer_and_is_counted() -> None:
    world = World()
    world.at(Stage.DARK_MODE)
    hold = threading.Event()
    assert world.run(IN, fails, probe=hold.wait) == "control"
    assert until(lambda: world.abandoned() == 1)
    hold.set()
    assert until(lambda: world.pool.abandoned == 0)
    assert world.figures() == {"control": 1, "candidate": 1, "candidate errors": 1}


def test_a_probe_that_returns_no_bool_is_dropped(world: World) -> None:
    world.at(Stage.DARK_MODE)
    world.run(IN, fails, probe=lambda: "yes")
    world.run(IN, fails, probe=lambda: None)
    assert world.settles_at(control=2, candidate=1, dropped=1)


def test_a_candidate_that_hangs_ends_the_comparison_of_its_own_rollout_alone(world: World) -> None:
    policies.create_rollout("other", actor=SYSTEM)
    Rollout.objects.update(stage=Stage.SHADOW_MODE, run_state="running")
    world.at(Stage.SHADOW_MODE)
    other, hold = Gate("other", lambda: world.process), threading.Event()
    for _ in range(5):
        world.run(IN, hold.wait)
    assert (world.pool.running, world.pool.skipped) == (4, 1)
    assert other.run(IN, control=lambda: 1, candidate=lambda: 1) == 1
    assert until(lambda: world.process.pool_of("other").running == 0)
    assert world.process.pool_of("other").skipped == 0
    hold.set()
    assert until(lambda: world.pool.running == 0)


@committed
def test_a_thread_and_its_connection_serve_the_next_run(world: World) -> None:
    threads: list[threading.Thread] = []
    pids: list[int] = []

    def candidate() -> str:
        threads.append(threading.current_thread())
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pids.extend(row[0] for row in cursor)
        return "control"

    world.at(Stage.SHADOW_MODE)
    for number in range(1, 4):
        world.run(IN, candidate)
        assert world.settles_at(control=number, candidate=number, compared=number)
    assert (len(set(threads)), len(set(pids))) == (1, 1)


@committed
def test_without_connections_to_keep_each_run_opens_its_own_before_its_clock_starts(
    world: World, settings: Settings
) -> None:
    are_open: list[bool] = []

    def candidate() -> str:
        are_open.append(connection.connection is not None)
        Rollout.objects.count()
        return "control"

    with_connection = connections["default"].settings_dict
    settings_before = with_connection["CONN_MAX_AGE"]
    with_connection["CONN_MAX_AGE"] = 0
    try:
        world.at(Stage.SHADOW_MODE)
        connection.close()  # so the first run does not know which databases it needs
        for number in range(1, 4):
            world.run(IN, candidate)
            assert world.settles_at(control=number, candidate=number, compared=number)
            connection.close()
    finally:
        with_connection["CONN_MAX_AGE"] = settings_before
    assert are_open[1:] == [True, True]


def test_an_idle_thread_ends() -> None:
    pool = Pool(idle_seconds=0.01)
    threads: list[threading.Thread] = []
    for number in range(1, 3):
        run = pool.reserve(on_abandoned=fails)
        assert run is not None
        assert pool.begin(run, lambda run: threads.append(threading.current_thread()))
        assert until(lambda number=number: len(threads) == number and not threads[-1].is_alive())  # type: ignore[misc]
    assert threads[0] is not threads[1]


def test_many_runs_at_once_are_each_executed_or_skipped() -> None:
    pool, done, barrier = Pool(at_once=2, idle_seconds=0.001), [], threading.Barrier(4)

    def submit() -> None:
        barrier.wait()
        for _ in range(200):
            run = pool.reserve(on_abandoned=fails)
            if run is not None:
                assert pool.begin(run, lambda run: done.append(1))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert until(lambda: pool.running == 0)
    assert len(done) + pool.skipped == 800


def test_a_value_whose_repr_fails_is_counted_as_a_mismatch(world: World) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    world.at(Stage.SHADOW_MODE)
    world.run(IN, Odd)
    assert world.settles_at(control=1, candidate=1, compared=1, mismatches=1)
