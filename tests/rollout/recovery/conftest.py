"""A whole installation to roll back, in a database of its own, and what is compared before and after."""

from pathlib import Path

import pytest
from pytest_django import Settings

from rollout.recovery import snapshots, sql
from rollout.recovery.protect import protected
from tests.validation.conftest import installation, site, whole

__all__ = ["installation", "site", "whole"]


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.SNAPSHOT_DIR = tmp_path / "snapshots"
    return tmp_path / "snapshots"


def contents() -> dict[str, str]:
    """Of each protected table, the hash of what is in it."""
    return {each.table: snapshots.content_hash(sql.quoted(each.table), each.lasting) for each in protected()}
