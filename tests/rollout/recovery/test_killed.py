"""A process that is killed at any step: whoever comes after it finishes what it began, or undoes it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from core.access.actors import SYSTEM
from rollout.choices import RunKind, RunOutcome
from rollout.models import RecoveryRun
from rollout.recovery import operations, runner
from tests.rollout.recovery.conftest import contents, full

EMERGENCY = ["rollouts", "switch_off", "quarantine", "snapshot", "verify"]
STANDARD = ["rollouts", "switch_off", "snapshot", "clean_up", "verify"]


@contextmanager
def killed(step: str) -> Iterator[None]:
    """As the step is about to be written down: what it did is done, or, in one transaction with it, not committed."""
    real = runner._finish

    def die(run: RecoveryRun, name: str, outcome: RunOutcome, evidence: dict[str, Any]) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)
        real(run, name, outcome, evidence)

    runner._finish = die
    yield
    runner._finish = real


def in_a_child(step: str, work: Callable[[], object]) -> None:
    connection.close()
    pid = os.fork()
    if pid == 0:
        try:
            with killed(step):
                work()
        finally:
            os._exit(1)  # it should not have come so far, nor go on with the tests here
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def roll_back(level: RunKind) -> RecoveryRun:
    return operations.carry_out(operations.roll_back(level, actor=SYSTEM))


LEVELS = [(RunKind.EMERGENCY, step) for step in EMERGENCY] + [(RunKind.STANDARD, step) for step in STANDARD]


@pytest.mark.parametrize(("level", "step"), LEVELS)
def test_a_level_is_finished_by_running_it_again(installation: None, level: RunKind, step: str) -> None:
    full()
    before = contents()
    in_a_child(step, lambda: roll_back(level))
    assert RecoveryRun.objects.get().outcome == RunOutcome.RUNNING
    done = roll_back(level)
    assert (done.pk, done.outcome) == (RecoveryRun.objects.get().pk, RunOutcome.DONE)
    assert [each.name for each in done.steps.order_by("pk")] == (EMERGENCY if level is RunKind.EMERGENCY else STANDARD)
    operations.carry_out(operations.undo(actor=SYSTEM))
    assert contents() == before


@pytest.mark.parametrize(
    ("level", "step"), [(RunKind.EMERGENCY, "snapshot"), (RunKind.EMERGENCY, "verify"), (RunKind.STANDARD, "verify")]
)
def test_or_it_is_undone(installation: None, level: RunKind, step: str) -> None:
    before = contents()
    in_a_child(step, lambda: roll_back(level))
    operations.carry_out(operations.undo(actor=SYSTEM))
    assert contents() == before
    assert set(RecoveryRun.objects.values_list("kind", "outcome")) == {(level.value, "failed"), ("undo", "done")}


UNDOS = [(RunKind.EMERGENCY, "put_back"), (RunKind.EMERGENCY, "compare"), (RunKind.STANDARD, "restore")]


@pytest.mark.parametrize(("level", "step"), UNDOS)
def test_an_undo_is_finished_by_running_it_again(installation: None, level: RunKind, step: str) -> None:
    before = contents()
    roll_back(level)
    in_a_child(step, lambda: operations.carry_out(operations.undo(actor=SYSTEM)))
    assert operations.carry_out(operations.undo(actor=SYSTEM)).outcome == RunOutcome.DONE
    assert contents() == before


@pytest.mark.parametrize("step", ["read_back", "drop"])
def test_a_purge_is_finished_by_running_it_again(installation: None, step: str) -> None:
    run = roll_back(RunKind.EMERGENCY)
    in_a_child(step, lambda: operations.carry_out(operations.purge(run.pk, actor=SYSTEM)))
    assert operations.carry_out(operations.purge(run.pk, actor=SYSTEM)).outcome == RunOutcome.DONE


def test_workers_take_up_what_was_theirs(installation: None) -> None:
    in_a_child(
        "snapshot",
        lambda: operations.carry_out(operations.roll_back(RunKind.STANDARD, actor=SYSTEM, is_for_workers=True)),
    )
    operations.recover()
    assert RecoveryRun.objects.get().outcome == RunOutcome.DONE


def test_and_not_what_was_a_terminals(installation: None) -> None:
    in_a_child("snapshot", lambda: roll_back(RunKind.STANDARD))
    operations.recover()
    assert RecoveryRun.objects.get().outcome == RunOutcome.RUNNING
