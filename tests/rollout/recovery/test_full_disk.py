"""Rollbacks on a full disk: a quarantine is its own backup, and a standard rollback changes nothing."""

import errno
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from caching.models import CacheEntry
from core.access.actors import SYSTEM
from rollout.choices import RunKind, RunOutcome
from rollout.models import RecoveryRun
from rollout.recovery import operations
from rollout.recovery.rollback import quarantine
from rollout.recovery.snapshots import writer
from tests.rollout.recovery.conftest import contents


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer.MeasuredFile, "write", refuse)


def test_a_full_disk_does_not_stop_a_quarantine(installation: None, full_disk: None, folder: Path) -> None:
    before = contents()
    with pytest.raises(CommandError, match="snapshot: cannot create a snapshot: No space left on device") as failure:
        call_command("rollback", "--level", "emergency", "--no-input")
    assert failure.value.returncode == 1
    run = RecoveryRun.objects.get()
    assert run.outcome == RunOutcome.FAILED
    assert quarantine.is_held(run)
    assert dict(run.steps.values_list("name", "outcome"))["verify"] == RunOutcome.DONE
    assert list(folder.iterdir()) == []
    with pytest.raises(CommandError, match="cannot create a snapshot: No space left"):
        call_command("rollback", "--purge", str(run.pk), "--no-input")
    undo = operations.execute_run(operations.undo(actor=SYSTEM))
    assert "inconclusive" in undo.steps.get(name="compare").evidence
    assert contents() == before


def test_a_full_disk_stops_a_standard_rollback_before_it_changes_data(installation: None, full_disk: None) -> None:
    before = contents()
    with pytest.raises(CommandError, match="No space left on device; check the space"):
        call_command("rollback", "--level", "standard", "--no-input")
    assert contents() == before
    assert CacheEntry.objects.count() == 25
    with pytest.raises(CommandError, match="ended before it changed data; switch the parts on"):
        call_command("restore", "--undo", "--no-input")
    assert RecoveryRun.objects.get().kind == RunKind.STANDARD
