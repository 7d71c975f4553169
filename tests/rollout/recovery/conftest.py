"""An installation to roll back, and what the tests compare before and after."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
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
    """Store the snapshots of the test in a folder of its own. Return it."""
    settings.SNAPSHOT_DIR = tmp_path / "snapshots"
    return tmp_path / "snapshots"


def contents() -> dict[str, str]:
    """Return the content hash of each protected table."""
    return {each.table: content_hash(sql.quoted(each.table), each.lasting) for each in protected()}


def activate_fully() -> None:
    """Move the rollout to its last stage."""
    Rollout.objects.update(stage=Stage.FULL_ACTIVE, run_state="running", percent=100)


def run_command(capsys: Capture, *args: str) -> dict[str, Any]:
    """Run the command with --json. Return its document."""
    capsys.readouterr()
    call_command(*args, "--json")
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def parts_off() -> set[str]:
    """Return the parts that are switched off."""
    return set(Activation.objects.switched_off().values_list("part", flat=True))


def run_suite(capsys: Capture) -> dict[str, str]:
    """Run the post-rollback suite, which must pass. Return the status of each check."""
    capsys.readouterr()
    call_command("validate", "--suite", "post-rollback", "--format", "json")
    document = json.loads(capsys.readouterr().out)
    assert document["overall"] == "PASS"
    return {check["id"]: check["status"] for check in document["checks"]}


@contextmanager
def session() -> Iterator[psycopg.Connection]:
    """Open a connection to the installation's database that belongs to no thread of Django."""
    params = connection.get_connection_params()
    options = {key: params[key] for key in ("dbname", "user", "password", "host", "port") if key in params}
    with psycopg.connect(**options, application_name="a report") as other:
        yield other


@pytest.fixture
def snapshot(installation: None) -> Snapshot:
    """Return a snapshot of the installation as it was made."""
    return operations.create(actor=SYSTEM)
