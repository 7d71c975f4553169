"""A rehearsal is the whole level and its undo, on a copy; nothing real is touched."""

import json
import os
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command

from rollout.actors import SYSTEM
from rollout.choices import Kind, Outcome
from rollout.models import Activation, RecoveryRun, Rollout
from rollout.recovery import rehearsal, snapshots
from tests import databases
from tests.rollout.recovery.conftest import contents, full

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """Of this process's scratch databases."""
    monkeypatch.setattr(rehearsal, "PREFIX", f"slipway_rehearsal_{os.getpid()}x")
    return rehearsal.PREFIX


def test_it_is_the_whole_of_it(installation: None, capsys: Capture, prefix: str) -> None:
    full()
    snapshot = snapshots.create(actor=SYSTEM)
    before = contents()
    capsys.readouterr()
    call_command("rollback", "--level", "emergency", "--rehearse", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["snapshot"]) == ("done", snapshot.name)
    steps = [step["name"] for step in told["steps"]]
    assert steps[-2:] == ["undo: put_back", "undo: compare"]
    run = RecoveryRun.objects.get()
    assert (run.is_rehearsal, run.has_kept_promise, run.ended_at is None) == (True, True, False)
    assert (contents(), Rollout.objects.get().stage) == (before, "FULL_ACTIVE")
    assert not Activation.objects.switched_off().exists()
    assert not any(name.startswith(prefix) for (name,) in databases.execute("SELECT datname FROM pg_database"))


def test_without_the_right_it_is_one_line(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots.create(actor=SYSTEM)
    monkeypatch.setattr(psycopg, "connect", refused)
    with pytest.raises(CommandError, match=r"may not make a database; ALTER ROLE \.\.\. CREATEDB") as failed:
        call_command("rollback", "--level", Kind.STANDARD.value, "--rehearse")
    assert failed.value.returncode == 3
    assert not RecoveryRun.objects.exists()


def refused(*args: object, **options: object) -> object:
    raise psycopg.errors.InsufficientPrivilege("permission denied to create database")


def test_one_that_breaks_says_so(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = snapshots.create(actor=SYSTEM)
    file = Path(snapshot.folder) / "portfolio_rationales.copy.zst"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CommandError, match=r"the rehearsal broke: .*was cut") as failed:
        call_command("rollback", "--level", "standard", "--rehearse")
    assert failed.value.returncode == 1
    assert not RecoveryRun.objects.filter(outcome=Outcome.DONE).exists()
