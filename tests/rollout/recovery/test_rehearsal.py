"""A rehearsal executes the whole level and its undo on a copy; the real installation does not change."""

import os
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command

from core.access.actors import SYSTEM
from rollout.choices import RunKind
from rollout.models import RecoveryRun
from rollout.recovery.rollback import rehearsal
from rollout.recovery.snapshots import operations

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the scratch databases of this process a prefix of their own. Return it."""
    monkeypatch.setattr(rehearsal, "PREFIX", f"slipway_rehearsal_{os.getpid()}x")
    return rehearsal.PREFIX


def test_without_the_right_to_create_databases_it_is_refused_in_one_line(
    installation: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations.create(actor=SYSTEM)
    monkeypatch.setattr(psycopg, "connect", refused)
    with pytest.raises(
        CommandError, match=r"lacks CREATEDB; run as a superuser: ALTER ROLE \S+ CREATEDB, or set REHEARSAL"
    ) as failed:
        call_command("rollback", "--level", RunKind.STANDARD.value, "--rehearse")
    assert failed.value.returncode == 3
    assert not RecoveryRun.objects.exists()


def refused(*args: object, **options: object) -> object:
    raise psycopg.errors.InsufficientPrivilege("permission denied to create database")


def test_a_rehearsal_whose_process_fails_names_the_cause(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    operations.create(actor=SYSTEM)
    monkeypatch.setattr(rehearsal, "CHILD", "no.such.module")
    with pytest.raises(
        CommandError, match=r"cannot rehearse standard: its process failed: .*No module named 'no'"
    ) as failed:
        call_command("rollback", "--level", "standard", "--rehearse")
    assert failed.value.returncode == 1
    assert not RecoveryRun.objects.exists()


def test_a_damaged_snapshot_is_found_before_the_rehearsal(installation: None) -> None:
    snapshot = operations.create(actor=SYSTEM)
    file = Path(snapshot.folder) / "portfolio_rationales.copy.zst"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CommandError, match=r"was cut to .* choose another snapshot"):
        call_command("rollback", "--level", "standard", "--rehearse")
