"""What a process does beside answering: it sends counts, has trips written down, and notices a dead control loop."""

import time
from typing import Any

import pytest

from core.access.actors import SYSTEM
from core.notices import notify
from core.redis import client, key
from rollout import tasks
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, runtime
from rollout.gate.heartbeat import Pulse
from rollout.models import Rollout
from rollout.operations import policies
from tests.conftest import committed
from tests.processes import until

NAME = "derived-data"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(notify, "_channels", [lambda event: heard.append(event.kind)])
    return heard


@committed
def test_it_starts_with_a_look_and_sends_errors_at_once() -> None:
    Rollout.objects.filter(name=NAME).update(stage="FULL_ACTIVE", run_state="running", percent=100)
    heartbeat.beat()
    runtime.own.reset()
    flag = gate(NAME)
    try:
        assert flag.decide("anybody") is Arm.CANDIDATE
        for _ in range(6):
            flag.observe(Arm.CANDIDATE, 1.0, is_error=True)
        assert until(lambda: flag.decide("anybody") is Arm.CONTROL, seconds=5)
        assert until(lambda: client().llen(key("control")) == 1)  # a tick was asked for
        tasks.tick()
        assert Rollout.objects.get(name=NAME).stage == "DISABLED"
        assert gate(NAME)._views is flag._views  # still the same process
    finally:
        runtime.own().views.stop()


def test_a_dead_control_loop_is_told_of_once(told: list[str]) -> None:
    heartbeat.beat()
    pulses = [Pulse(), Pulse()]
    assert [pulse.look() for pulse in pulses] == [True, True]
    client().delete(key("heartbeat"))
    assert [pulse.look() for pulse in pulses * 2] == [False] * 4
    assert told == ["beat_lost"]
    heartbeat.beat()
    assert [pulse.look() for pulse in pulses] == [True, True]
    assert told == ["beat_lost", "beat_back"]
    client().delete(key("heartbeat"))
    pulses[1].look()
    assert told[2:] == ["beat_lost"]


def test_a_process_that_just_started_gives_the_workers_time(told: list[str]) -> None:
    pulse = Pulse()
    assert pulse.look() is False
    assert told == []
    pulse.started_at = time.monotonic() - 31
    pulse.look()
    assert told == ["beat_lost"]


@pytest.mark.django_db
def test_a_rollout_that_cannot_be_judged_answers_control_alone(at_stage: Any) -> None:
    other = policies.create("other", actor=SYSTEM)
    Rollout.objects.filter(pk=other.pk).update(stage="FULL_ACTIVE", run_state="running", percent=100)
    at_stage("FULL_ACTIVE")
    Rollout.objects.get(name=NAME).policies.all().delete()
    tasks.tick()
    runtime.own().views.check()
    assert heartbeat.is_fresh()
    assert gate(NAME).decide("anybody") is Arm.CONTROL
    assert gate("other").decide("anybody") is Arm.CANDIDATE
