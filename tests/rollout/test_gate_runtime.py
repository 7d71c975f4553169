"""The threads of a process: they send counts, ask for a tick after a trip, and notice a dead control loop."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from core.access.actors import SYSTEM
from core.redis import client, key
from rollout import tasks
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, runtime
from rollout.gate.counting.observation import StageVisit
from rollout.gate.heartbeat import HeartbeatMonitor
from rollout.models import Rollout
from rollout.operations import policies
from tests import databases
from tests.conftest import committed
from tests.databases import ROOT
from tests.processes import until
from tests.rollout.counted import read_counts

NAME = "derived-data"


@committed
def test_it_starts_with_a_refresh_and_sends_errors_at_once() -> None:
    Rollout.objects.filter(name=NAME).update(stage="FULL_ACTIVE", run_state="running", percent=100)
    heartbeat.beat()
    flag, first_runtime = gate(NAME), runtime.shared()
    first_runtime.start()
    try:
        assert flag.decide("any-key") is Arm.CANDIDATE
        for _ in range(6):
            flag.observe(Arm.CANDIDATE, 1.0, is_error=True)
        assert until(lambda: flag.decide("any-key") is Arm.CONTROL, seconds=5)
        assert until(lambda: client().llen(key("control")) == 1)  # a tick is in the queue
        tasks.tick()
        assert Rollout.objects.get(name=NAME).stage == "DISABLED"
        assert runtime.shared() is first_runtime  # every gate of the process shares it
    finally:
        runtime.shared().stop()


FORKED = """
import os, sys; import django; django.setup()
from rollout.decisions.stages import Arm
from rollout.gate import runtime
from rollout.gate.counting.observation import Observation, StageVisit
runtime.shared().counters.observe(Observation("derived-data", StageVisit("visit"), Arm.CONTROL, 1.0))
if child := os.fork():
    os.waitpid(child, 0)
sys.exit()  # both run what is registered for the exit
"""


@committed
def test_a_fork_does_not_send_what_its_parent_counted() -> None:
    environment = os.environ | {"DATABASE_URL": databases.address(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, env=environment, check=True)
    assert read_counts(Arm.CONTROL, StageVisit("visit")).requests == 1


PRELOADED = """
import os, sys; import django; django.setup()
from rollout.gate import Arm, gate
flag = gate("derived-data")  # at the level of a module that is loaded before the fork
assert flag.decide("any-key") is Arm.CANDIDATE
if child := os.fork():
    os.waitpid(child, 0)
else:
    assert flag.decide("any-key") is Arm.CANDIDATE
    assert flag.run("any-key", control=lambda: "control", candidate=lambda: 1 / 0) == "control"
    flag.observe(Arm.CANDIDATE, 1.0)
sys.exit()
"""


@committed
def test_a_gate_that_was_made_before_a_fork_counts_in_the_child() -> None:
    Rollout.objects.filter(name=NAME).update(stage="FULL_ACTIVE", run_state="running", percent=100, epoch=1)
    heartbeat.beat()
    environment = os.environ | {"DATABASE_URL": databases.address(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", PRELOADED], cwd=ROOT, env=environment, check=True)
    counts = read_counts(Arm.CANDIDATE, StageVisit(Rollout.objects.get(name=NAME).visit.hex))
    assert (counts.requests, counts.errors) == (2, 1)


def test_a_dead_control_loop_is_notified_once(notice_kinds: list[str]) -> None:
    heartbeat.beat()
    monitors = [HeartbeatMonitor(), HeartbeatMonitor()]
    assert [monitor.check() for monitor in monitors] == [True, True]
    client().delete(key("heartbeat"))
    assert [monitor.check() for monitor in monitors * 2] == [False] * 4
    assert notice_kinds == ["beat_lost"]
    heartbeat.beat()
    assert [monitor.check() for monitor in monitors] == [True, True]
    assert notice_kinds == ["beat_lost", "beat_back"]
    client().delete(key("heartbeat"))
    monitors[1].check()
    assert notice_kinds[2:] == ["beat_lost"]


def test_a_process_that_has_just_started_gives_the_workers_time(notice_kinds: list[str]) -> None:
    monitor = HeartbeatMonitor()
    assert monitor.check() is False
    assert notice_kinds == []
    monitor.started_at = time.monotonic() - 31
    monitor.check()
    assert notice_kinds == ["beat_lost"]


@pytest.mark.django_db
def test_a_rollout_that_cannot_be_judged_answers_control_and_harms_no_other(at_stage: Any) -> None:
    other = policies.create_rollout("other", actor=SYSTEM)
    Rollout.objects.filter(pk=other.pk).update(stage="FULL_ACTIVE", run_state="running", percent=100)
    at_stage("FULL_ACTIVE")
    Rollout.objects.get(name=NAME).policies.all().delete()
    tasks.tick()
    runtime.shared().states.refresh()
    assert heartbeat.is_fresh()
    assert gate(NAME).decide("any-key") is Arm.CONTROL
    assert gate("other").decide("any-key") is Arm.CANDIDATE
