"""A whole installation to roll back, in a database of its own, and what is compared before and after."""

from pathlib import Path

import pytest
from pytest_django import Settings

from rollout.choices import Stage
from rollout.models import Rollout
from rollout.recovery import sql
from rollout.recovery.content import content_hash
from rollout.recovery.protect import protected


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
