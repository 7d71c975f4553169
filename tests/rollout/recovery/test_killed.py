"""A process that is killed at any step: another process resumes its run, or undoes it."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from core.access.actors import SYSTEM
from rollout.choices import RunKind, RunOutcome
from rollout.models import RecoveryRun
from rollout.recovery import operations
from tests.rollout.recovery.conftest import activate_fully, contents

EMERGENCY = ["rollouts", "switch_off", "quarantine", "snapshot", "verify"]
STANDARD = ["rollouts", "switch_off", "snapshot", "clean_up", "verify"]
ENDS_A_STEP = 'UPDATE "rollout_recoverystep" SET "outcome" = %s, "ended_at"'


def killed_at(step: str) -> Callable[..., Any]:
    """Return a wrapper of statements that kills the process as the end of the step is about to be stored.

    The step's changes are committed by then, or, if they are in the same transaction, are never committed.
    """

    def execute(run_statement: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if str(sql).startswith(ENDS_A_STEP) and step in params:
            os.kill(os.getpid(), signal.SIGKILL)
        return run_statement(sql, params, many, context)

    return execute


def kill_a_child(step: str, work: Callable[[], object]) -> None:
    """Do the work in a child process that is killed at the step."""
    connection.close()
    pid = os.fork()
    if pid == 0:
        try:
            with connection.execute_wrapper(killed_at(step)):
                work()
        finally:
            os._exit(1)  # the child was not killed; it must not run the other tests
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def roll_back(level: RunKind) -> RecoveryRun:
    return operations.execute_run(operations.roll_back(level, actor=SYSTEM))


LEVELS = [(RunKind.EMERGENCY, step) for step in EMERGENCY] + [(RunKind.STANDARD, step) for step in STANDARD]


@pytest.mark.parametrize(("level", "step"), LEVELS)
def test_the_same_command_resumes_a_level(installation: None, level: RunKind, step: str) -> None:
    activate_fully()
    before = contents()
    kill_a_child(step, lambda: roll_back(level))
    assert RecoveryRun.objects.get().outcome == RunOutcome.RUNNING
    done = roll_back(level)
    assert (done.pk, done.outcome) == (RecoveryRun.objects.get().pk, RunOutcome.DONE)
    assert [each.name for each in done.steps.order_by("pk")] == (EMERGENCY if level is RunKind.EMERGENCY else STANDARD)
    operations.execute_run(operations.undo(actor=SYSTEM))
    assert contents() == before


@pytest.mark.parametrize(
    ("level", "step"), [(RunKind.EMERGENCY, "snapshot"), (RunKind.EMERGENCY, "verify"), (RunKind.STANDARD, "verify")]
)
def test_an_unfinished_level_can_be_undone(installation: None, level: RunKind, step: str) -> None:
    before = contents()
    kill_a_child(step, lambda: roll_back(level))
    operations.execute_run(operations.undo(actor=SYSTEM))
    assert contents() == before
    assert set(RecoveryRun.objects.values_list("kind", "outcome")) == {(level.value, "failed"), ("undo", "done")}


UNDOS = [(RunKind.EMERGENCY, "put_back"), (RunKind.EMERGENCY, "compare"), (RunKind.STANDARD, "restore")]


@pytest.mark.parametrize(("level", "step"), UNDOS)
def test_the_same_command_resumes_an_undo(installation: None, level: RunKind, step: str) -> None:
    before = contents()
    roll_back(level)
    kill_a_child(step, lambda: operations.execute_run(operations.undo(actor=SYSTEM)))
    assert operations.execute_run(operations.undo(actor=SYSTEM)).outcome == RunOutcome.DONE
    assert contents() == before


@pytest.mark.parametrize("step", ["read_back", "drop"])
def test_the_same_command_resumes_a_purge(installation: None, step: str) -> None:
    run = roll_back(RunKind.EMERGENCY)
    kill_a_child(step, lambda: operations.execute_run(operations.purge(run.pk, actor=SYSTEM)))
    assert operations.execute_run(operations.purge(run.pk, actor=SYSTEM)).outcome == RunOutcome.DONE


def test_workers_resume_a_run_that_is_for_them(installation: None) -> None:
    kill_a_child(
        "snapshot",
        lambda: operations.execute_run(operations.roll_back(RunKind.STANDARD, actor=SYSTEM, is_for_workers=True)),
    )
    operations.recover()
    assert RecoveryRun.objects.get().outcome == RunOutcome.DONE


def test_workers_leave_the_run_of_a_terminal_alone(installation: None) -> None:
    kill_a_child("snapshot", lambda: roll_back(RunKind.STANDARD))
    operations.recover()
    assert RecoveryRun.objects.get().outcome == RunOutcome.RUNNING
