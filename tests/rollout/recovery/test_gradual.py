"""The gradual rollback: its holds, a pause, and how it is cut short."""

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from caching.models import CacheEntry
from core.access.actors import SYSTEM, shell_actor
from core.errors import WrongInput
from rollout.choices import RunKind, RunOutcome, Stage
from rollout.models import RecoveryRun, RecoveryStep, Rollout, Transition
from rollout.operations import lifecycle as rollouts
from rollout.recovery import operations
from rollout.recovery.rollback import gradual
from tests.rollout.recovery.conftest import Capture, activate_fully, contents, parts_off, run_command, run_suite


def test_it_goes_down_step_by_step_and_changes_no_data(installation: None, capsys: Capture) -> None:
    activate_fully()
    before = contents()
    done = run_command(capsys, "rollback", "--level", "gradual", "--no-input", "--pace", "0.001")
    assert [step["name"] for step in done["steps"]] == [*(place.name for place in gradual.LADDER), "verify"]
    assert done["steps"][0]["evidence"]["guards"]["derived-data"]["errors"]
    stages = Transition.objects.filter(verb="descend").order_by("epoch").values_list("to_stage", "percent")
    partial = [("PARTIAL_ACTIVE", 50), ("PARTIAL_ACTIVE", 25), ("PARTIAL_ACTIVE", 10)]
    assert list(stages) == [*partial, ("SHADOW_MODE", 0), ("DARK_MODE", 0)]
    assert Rollout.objects.get().stage == Stage.DISABLED
    assert (contents(), parts_off()) == (before, set())
    assert run_suite(capsys)["every_step_recorded"] == "PASS"
    with pytest.raises(CommandError, match="changed no data; start the rollout again"):
        call_command("restore", "--undo", "--no-input")


def test_it_holds_and_beat_drives_it(installation: None) -> None:
    activate_fully()
    run = operations.roll_back(RunKind.GRADUAL, actor=SYSTEM)
    for _ in range(3):
        operations.recover()
    assert [step.name for step in run.steps.all()] == ["PARTIAL_ACTIVE 50 %"]
    pass_time(run, gradual.HOLD.total_seconds() - 2)
    operations.recover()
    assert run.steps.count() == 1
    pass_time(run, 3)
    operations.recover()
    assert (Rollout.objects.get().percent, Rollout.objects.get().run_state) == (25, "paused")
    for _ in range(5):
        pass_time(run, 181)
        operations.recover()
    run.refresh_from_db()
    assert (run.outcome, run.steps.last().name) == (RunOutcome.DONE, "verify")  # type: ignore[union-attr]


def pass_time(run: RecoveryRun, seconds: float) -> None:
    for step in RecoveryStep.objects.filter(run=run, ended_at=None):
        moved = step.started_at.timestamp() - seconds
        RecoveryStep.objects.filter(pk=step.pk).update(
            started_at=step.started_at.fromtimestamp(moved, tz=step.started_at.tzinfo)
        )


def test_it_begins_at_the_present_stage_of_the_rollout(installation: None) -> None:
    activate_fully()
    Rollout.objects.update(stage=Stage.SHADOW_MODE, percent=0)
    run = operations.roll_back(RunKind.GRADUAL, actor=SYSTEM)
    operations.recover()
    last = run.steps.last()
    assert (last.name, last.ended_at) == ("DARK_MODE", None)  # type: ignore[union-attr]
    assert [step.evidence for step in run.steps.exclude(ended_at=None)] == [{"moved": []}] * 4, (
        "no hold where no rollout moved"
    )


def test_a_pause_lengthens_the_hold(installation: None, capsys: Capture) -> None:
    activate_fully()
    run = operations.roll_back(RunKind.GRADUAL, actor=SYSTEM)
    operations.recover()
    assert run_command(capsys, "rollback", "--pause", "--reason", "the finals")["changed"] is True
    assert run_command(capsys, "rollback", "--pause")["changed"] is False
    pass_time(run, 1000)
    operations.recover()
    assert run.steps.count() == 1
    [step] = run.steps.all()
    step.evidence["paused_at"] = step.started_at.isoformat()
    step.save()
    run_command(capsys, "rollback", "--resume", "--reason", "they are over")
    operations.recover()
    assert run.steps.count() == 1
    run.refresh_from_db()
    who = f"by {shell_actor().get_username()}"
    assert run.reason == f"paused {who}: the finals; resumed {who}: they are over"
    pass_time(run, 181)
    operations.recover()
    assert run.steps.count() == 2


def test_a_tripped_guard_ends_it_and_begins_a_standard_rollback(installation: None) -> None:
    activate_fully()
    run = operations.roll_back(RunKind.GRADUAL, actor=SYSTEM)
    operations.recover()
    rollouts.trip(Rollout.objects.get(), Stage.DISABLED, [], actor=SYSTEM, reason="errors")
    operations.recover()
    run.refresh_from_db()
    assert run.outcome == RunOutcome.CUT_SHORT
    standard = RecoveryRun.objects.get(kind=RunKind.STANDARD)
    assert (standard.outcome, "a guard tripped derived-data" in standard.reason) == (RunOutcome.DONE, True)
    assert not CacheEntry.objects.exists()


def test_an_emergency_ends_a_gradual_rollback(installation: None) -> None:
    activate_fully()
    run = operations.roll_back(RunKind.GRADUAL, actor=SYSTEM)
    operations.recover()
    done = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    run.refresh_from_db()
    assert (run.outcome, done.outcome) == (RunOutcome.CUT_SHORT, RunOutcome.DONE)


def test_a_wrong_pace_begins_no_run(installation: None) -> None:
    with pytest.raises(WrongInput):
        operations.roll_back(RunKind.GRADUAL, actor=SYSTEM, pace=-1)
    assert not RecoveryRun.objects.exists()


def test_a_run_that_was_killed_in_its_last_step_ends(installation: None) -> None:
    run = operations.roll_back(RunKind.GRADUAL, actor=SYSTEM)
    for place in gradual.LADDER:
        RecoveryStep.objects.create(run=run, name=place.name, outcome=RunOutcome.DONE, ended_at=Now())
    RecoveryStep.objects.create(run=run, name="verify")
    operations.recover()
    run.refresh_from_db()
    assert run.outcome == RunOutcome.DONE
