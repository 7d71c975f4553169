"""Faults around a rollout: servers down, a worker killed, two operators at the same time, clocks that jump."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.db.models import F
from pytest_django import Settings

from core.access.actors import SYSTEM, Machine
from core.errors import SlipwayError
from rollout.choices import Stage, Verdict
from rollout.control import loop
from rollout.control.assessment import assess
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, runtime
from rollout.models import Rollout, Transition
from rollout.operations import lifecycle
from tests import databases
from tests.conftest import committed
from tests.databases import ROOT
from tests.rollout.outages import no_redis

NAME = "derived-data"
ANNA = Machine("anna")
Stages = Callable[..., None]


def rollout() -> Rollout:
    return Rollout.objects.get(name=NAME)


def traffic(requests: int = 60, errors: int = 0) -> None:
    shared = runtime.shared()
    shared.states.refresh()
    for number in range(requests):
        gate(NAME).observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=True, is_same=True)
    shared.flush()


def time_passes(minutes: float) -> None:
    Rollout.objects.update(percent_entered_at=F("percent_entered_at") - timedelta(minutes=minutes))


def verdicts() -> dict[str, Verdict]:
    return {judgment.guard.value: judgment.verdict for judgment in assess(rollout()).judgments}


@pytest.mark.django_db
@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.DISABLED])
def test_without_redis_each_stage_serves_for_a_while_and_does_not_advance(
    at_stage: Stages, settings: Settings, stage: Stage
) -> None:
    """Its arms hold for 30 s, then control is served. Nothing advances, and no guard has the verdict PASS."""
    at_stage(stage, percent=100 if stage is Stage.FULL_ACTIVE else 50)
    traffic()
    time_passes(60)
    shared, flag = runtime.shared(), gate(NAME)
    arm_before = flag.decide("user-6")
    with no_redis(settings):
        traffic(errors=6)
        assert flag.decide("user-6") is arm_before
        assert flag.run("user-6", control=lambda: 1, candidate=lambda: 1) == 1
        assert loop.tick() == 0
        assert {verdict for guard, verdict in verdicts().items() if guard != "feed_health"} == {Verdict.ERROR}
        shared.states.expire()
        shared.states.refresh()
        assert flag.decide("user-6") is Arm.CONTROL
        assert flag.run("user-6", control=lambda: 1, candidate=lambda: 2) == 1
    shared.flush()  # the counts of the outage
    shared.states.refresh()
    loop.tick()
    assert rollout().stage == "DISABLED"


@pytest.mark.django_db
def test_nothing_is_lost_in_an_outage_of_redis(at_stage: Stages, settings: Settings) -> None:
    at_stage("FULL_ACTIVE")
    with no_redis(settings):
        traffic(60)
    runtime.shared().flush()
    assert {verdicts()[name] for name in ("errors", "p95_ms", "hit_rate")} == {Verdict.PASS}


@pytest.mark.django_db
def test_one_odd_observation_blinds_no_guard(at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    gate(NAME).observe(Arm.CANDIDATE, float("nan"))
    traffic(200, errors=6)
    runtime.shared().states.refresh()
    assert gate(NAME).decide("user-6") is Arm.CONTROL


@pytest.mark.django_db
def test_an_advance_that_races_a_trip_loses(at_stage: Stages) -> None:
    at_stage("SHADOW_MODE")
    traffic()
    seen, judgments = rollout(), assess(rollout()).judgments
    traffic(6, errors=6)
    lifecycle.advance(seen, judgments, actor=ANNA, reason="it looked good")
    runtime.shared().states.refresh()
    assert gate(NAME).decide("user-6") is Arm.CONTROL
    assert loop.tick() == 1
    assert (rollout().stage, rollout().run_state) == ("DISABLED", "cooling")


@pytest.mark.django_db
@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumps_moves_no_rollout(at_stage: Stages, days: int) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="")
    heartbeat.beat()
    traffic()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True):
        runtime.shared().states.refresh()
        assert loop.tick() == 0
        assert assess(rollout()).decision.reasons[0].endswith("s are left")
        time_passes(11)
        assert loop.tick() == 1
    assert rollout().stage == "SHADOW_MODE"


@committed
def test_of_four_operators_at_the_same_time_one_advances_it(at_stage: Stages) -> None:
    at_stage("DARK_MODE")
    traffic()
    judgments, barrier = assess(rollout()).judgments, threading.Barrier(4)
    outcomes: list[str] = []

    def advance(seen: Rollout) -> None:
        barrier.wait()
        try:
            outcomes.append(lifecycle.advance(seen, judgments, actor=ANNA, reason="").to_stage)
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
from rollout.control.assessment import assess
from rollout.models import Rollout, Transition
Transition.objects.create = lambda **kwargs: os.kill(os.getpid(), 9)  # after the judgment, within the transition
loop.tick()
"""


@committed
def test_the_next_tick_does_the_work_of_a_worker_that_was_killed(at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    traffic(errors=6)
    seen = rollout()
    environment = os.environ | {"DATABASE_URL": databases.address(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -9
    assert (rollout().stage, rollout().epoch) == ("FULL_ACTIVE", seen.epoch)
    assert not Transition.objects.exists()
    runtime.shared().states.refresh()
    assert gate(NAME).decide("user-6") is Arm.CONTROL  # before any transition too
    assert loop.tick() == 1
    assert Transition.objects.get().verb == "trip"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", "none", "a b/c", "\x00", "\ud800", "x" * 10_000, "дерби"])
def test_a_gate_of_an_odd_name_answers_control(at_stage: Stages, name: str) -> None:
    at_stage("FULL_ACTIVE")
    odd = gate(name)
    assert odd.decide("user-6") is Arm.CONTROL
    assert odd.run("user-6", control=lambda: "control", candidate=lambda: "candidate") == "control"
    odd.observe(Arm.CANDIDATE, 1.0, is_error=True)
    runtime.shared().flush()


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "\x00", "\ud800", "x" * 100_000, "дерби"])
def test_an_odd_targeting_key_is_a_key(at_stage: Stages, key: str) -> None:
    at_stage("FULL_ACTIVE")
    assert gate(NAME).decide(key) is Arm.CANDIDATE


@pytest.mark.django_db
def test_a_verb_of_an_older_epoch_does_nothing(at_stage: Stages) -> None:
    at_stage("DARK_MODE")
    seen = rollout()
    lifecycle.pause(seen, actor=ANNA, reason="")
    late_verbs: list[Callable[[], object]] = [
        lambda: lifecycle.pause(seen, actor=ANNA, reason=""),
        lambda: lifecycle.trip(seen, Stage.DISABLED, [], actor=SYSTEM, reason=""),
        lambda: lifecycle.step(seen, 1, [], actor=SYSTEM, reason=""),
    ]
    for verb in late_verbs:
        with pytest.raises(SlipwayError):
            verb()
    assert rollout().run_state == "paused"
