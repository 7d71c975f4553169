"""The three ways back, each with its undo, on a whole installation."""

import json
from typing import Any

import pytest
from django.core.management import call_command

from caching.models import CacheEntry
from rollout.models import Rollout
from tests.rollout.recovery.conftest import contents

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *args: str) -> dict[str, Any]:
    capsys.readouterr()
    call_command(*args, "--no-input", "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_an_emergency_and_back(installation: None, capsys: Capture) -> None:
    before = contents()
    done = run(capsys, "rollback", "--level", "emergency", "--reason", "wrong odds")
    assert done["outcome"] == "done"
    assert not CacheEntry.objects.exists()
    run(capsys, "restore", "--undo")
    assert contents() == before


def test_standard_and_back(installation: None, capsys: Capture) -> None:
    before = contents()
    done = run(capsys, "rollback", "--level", "standard", "--reason", "wrong odds")
    assert done["outcome"] == "done"
    run(capsys, "restore", "--undo")
    assert contents() == before


def test_gradual(installation: None, capsys: Capture) -> None:
    before = contents()
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    done = run(capsys, "rollback", "--level", "gradual", "--reason", "wrong odds", "--pace", "0")
    assert done["outcome"] == "done"
    assert contents() == before
