"""What may go wrong around a rollout: servers gone, a worker killed, two operators at once, clocks that jump."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.db.models import F
from pytest_django import Settings

from core.access.actors import SYSTEM, Machine
from core.errors import SlipwayError
from core.redis import client
from rollout.choices import Stage, Verdict
from rollout.control import loop
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, runtime
from rollout.models import Rollout, Transition
from rollout.operations import lifecycle
from tests import databases
from tests.conftest import committed
from tests.databases import ROOT

NAME = "derived-data"
ANNA = Machine("anna")
Stages = Callable[..., None]


def rollout() -> Rollout:
    return Rollout.objects.get(name=NAME)


@contextmanager
def no_redis(settings: Settings) -> Iterator[None]:
    there, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    client.cache_clear()
    try:
        yield
    finally:
        settings.REDIS_URL = there
        client.cache_clear()


def traffic(requests: int = 60, errors: int = 0) -> None:
    own = runtime.own()
    own.views.check()
    for number in range(requests):
        gate(NAME).observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=True, is_same=True)
    own.flush()


def time_passes(minutes: float) -> None:
    Rollout.objects.update(percent_entered_at=F("percent_entered_at") - timedelta(minutes=minutes))


@pytest.mark.django_db
@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.DISABLED])
def test_redis_gone_at_a_stage(at_stage: Stages, settings: Settings, stage: Stage) -> None:
    """What it served goes on for 30 s, then control; nothing advances, and a guard never says PASS."""
    at_stage(stage, percent=100 if stage is Stage.FULL_ACTIVE else 50)
    traffic()
    time_passes(60)
    own, asked = runtime.own(), gate(NAME)
    served = asked.decide("user-6")
    with no_redis(settings):
        traffic(errors=6)
        assert asked.decide("user-6") is served
        assert asked.run("user-6", control=lambda: 1, candidate=lambda: 1) == 1
        assert loop.tick() == 0
        verdicts = {one.guard: one.verdict for one in loop.look(rollout()).judged if one.guard.value != "feed_health"}
        assert set(verdicts.values()) == {Verdict.ERROR}
        own.views._until -= 31
        own.views.check()
        assert asked.decide("user-6") is Arm.CONTROL
        assert asked.run("user-6", control=lambda: 1, candidate=lambda: 2) == 1
    own.flush()  # what was counted meanwhile
    own.views.check()
    loop.tick()
    assert (rollout().stage == "DISABLED") is (stage is not Stage.DARK_MODE)


@pytest.mark.django_db
def test_what_redis_did_not_take_for_too_long_is_dropped_and_said(
    at_stage: Stages, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.gate.counters.KEPT_AT_MOST", 50)
    at_stage("FULL_ACTIVE")
    with no_redis(settings):
        traffic(60)
    runtime.own().flush()
    judged = {one.guard.value: one.verdict for one in loop.look(rollout()).judged}
    assert {judged[name] for name in ("errors", "p95_ms", "hit_rate")} == {Verdict.ERROR}


@pytest.mark.django_db
def test_an_advance_that_races_a_fall_loses(at_stage: Stages) -> None:
    at_stage("SHADOW_MODE")
    traffic()
    seen, judged = rollout(), loop.look(rollout()).judged
    traffic(6, errors=6)
    lifecycle.advance(seen, judged, actor=ANNA, reason="it looked good")
    runtime.own().views.check()
    assert gate(NAME).decide("user-6") is Arm.CONTROL
    assert loop.tick() == 1
    assert (rollout().stage, rollout().run_state) == ("DISABLED", "cooling")


@pytest.mark.django_db
@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumps_moves_nothing(at_stage: Stages, days: int) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="")
    heartbeat.beat()
    traffic()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True):
        runtime.own().views.check()
        assert loop.tick() == 0
        assert loop.look(rollout()).decision.reasons[0].endswith("s are left")
        time_passes(11)
        assert loop.tick() == 1
    assert rollout().stage == "SHADOW_MODE"


@committed
def test_two_operators_at_once_are_one(at_stage: Stages) -> None:
    at_stage("DARK_MODE")
    traffic()
    judged, together = loop.look(rollout()).judged, threading.Barrier(4)
    outcomes: list[str] = []

    def advance(seen: Rollout) -> None:
        together.wait()
        try:
            outcomes.append(lifecycle.advance(seen, judged, actor=ANNA, reason="").to_stage)
        except lifecycle.Overtaken:
            outcomes.append("overtaken")
        finally:
            connection.close()

    threads = [threading.Thread(target=advance, args=(rollout(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["SHADOW_MODE", "overtaken", "overtaken", "overtaken"]
    assert Transition.objects.count() == 1


KILLED = """
import os, django; django.setup()
from rollout.control import loop
from rollout.models import Rollout, Transition
Transition.objects.create = lambda **kwargs: os.kill(os.getpid(), 9)  # after the guard, amid the transition
loop.tick()
"""


@committed
def test_a_worker_killed_between_guard_and_transition_leaves_it_to_the_next(at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    traffic(errors=6)
    seen = rollout()
    environment = os.environ | {"DATABASE_URL": databases.address(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -9
    assert (rollout().stage, rollout().epoch) == ("FULL_ACTIVE", seen.epoch)
    assert not Transition.objects.exists()
    runtime.own().views.check()
    assert gate(NAME).decide("user-6") is Arm.CONTROL  # meanwhile too
    assert loop.tick() == 1
    assert Transition.objects.get().verb == "trip"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", "none", "a b/c", "\x00", "\ud800", "x" * 10_000, "дерби"])
def test_an_odd_name_is_control(at_stage: Stages, name: str) -> None:
    at_stage("FULL_ACTIVE")
    odd = gate(name)
    assert odd.decide("user-6") is Arm.CONTROL
    assert odd.run("user-6", control=lambda: "control", candidate=lambda: "candidate") == "control"
    odd.observe(Arm.CANDIDATE, 1.0, is_error=True)
    runtime.own().flush()


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "\x00", "\ud800", "x" * 100_000, "дерби"])
def test_an_odd_targeting_key_is_a_key(at_stage: Stages, key: str) -> None:
    at_stage("FULL_ACTIVE")
    assert gate(NAME).decide(key) is Arm.CANDIDATE


@pytest.mark.django_db
def test_an_action_of_another_epoch_does_nothing(at_stage: Stages) -> None:
    at_stage("DARK_MODE")
    seen = rollout()
    lifecycle.pause(seen, actor=ANNA, reason="")
    late: list[Callable[[], object]] = [
        lambda: lifecycle.pause(seen, actor=ANNA, reason=""),
        lambda: lifecycle.abort(seen, actor=ANNA, reason=""),
        lambda: lifecycle.trip(seen, Stage.DISABLED, [], actor=SYSTEM, reason=""),
        lambda: lifecycle.step(seen, 1, [], actor=SYSTEM, reason=""),
    ]
    for act in late:
        with pytest.raises(SlipwayError):
            act()
    assert rollout().run_state == "paused"
