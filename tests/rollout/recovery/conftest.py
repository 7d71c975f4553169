"""A whole installation to roll back, in a database of its own, and what is compared before and after."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from core.access.actors import SYSTEM
from rollout.choices import Stage
from rollout.models import Activation, Rollout, Snapshot
from rollout.recovery.postgres import sql
from rollout.recovery.protect import protected
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.table_content import content_hash

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.SNAPSHOT_DIR = tmp_path / "snapshots"
    return tmp_path / "snapshots"


def contents() -> dict[str, str]:
    """Of each protected table, the hash of what is in it."""
    return {each.table: content_hash(sql.quoted(each.table), each.lasting) for each in protected()}


def full() -> None:
    """The rollout in its last stage."""
    Rollout.objects.update(stage=Stage.FULL_ACTIVE, run_state="running", percent=100)


def command(capsys: Capture, *args: str) -> dict[str, Any]:
    """Its JSON document."""
    capsys.readouterr()
    call_command(*args, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def off() -> set[str]:
    """Parts that are switched off."""
    return set(Activation.objects.switched_off().values_list("part", flat=True))


def suite(capsys: Capture) -> dict[str, str]:
    """What the post-rollback suite, which passes, says of each check."""
    capsys.readouterr()
    call_command("validate", "--suite", "post-rollback", "--format", "json")
    found = json.loads(capsys.readouterr().out)
    assert found["overall"] == "PASS"
    return {each["id"]: each["status"] for each in found["checks"]}


@pytest.fixture
def snapshot(installation: None) -> Snapshot:
    """Of the installation as it was made."""
    return operations.create(actor=SYSTEM)
