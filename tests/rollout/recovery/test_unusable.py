"""A snapshot that cannot be used is refused, and changes nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from caching.models import CacheEntry
from rollout.models import RecoveryRun, Snapshot
from rollout.recovery.snapshots.manifest import FILE
from tests.rollout.recovery.conftest import contents


def altered(folder: Path) -> None:
    file = folder / "portfolio_rationales.copy.zst"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def cut(folder: Path) -> None:
    file = folder / "portfolio_rationales.copy.zst"
    file.write_bytes(file.read_bytes()[:-20])


def of_a_newer_release(folder: Path) -> None:
    manifest = json.loads((folder / FILE).read_bytes())
    manifest["schema"]["caching"] = "9999_later"
    (folder / FILE).write_text(json.dumps(manifest))


def of_another_project(folder: Path) -> None:
    manifest = json.loads((folder / FILE).read_bytes())
    (folder / FILE).write_text(json.dumps(manifest | {"project": "another"}))


def lacking_a_table(folder: Path) -> None:
    manifest = json.loads((folder / FILE).read_bytes())
    manifest["tables"] = [each for each in manifest["tables"] if each["table"] != "provider_states"]
    (folder / FILE).write_text(json.dumps(manifest))


def of_other_content(folder: Path) -> None:
    manifest = json.loads((folder / FILE).read_bytes())
    for table in manifest["tables"]:
        table["content"] = "1:2"
    (folder / FILE).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (altered, "portfolio_rationales.copy.zst of .* was altered; take another one"),
        (cut, "portfolio_rationales.copy.zst of .* was cut"),
        (
            of_a_newer_release,
            "made by a newer release, with migrations that this one lacks: caching.9999_later; install that release",
        ),
        (of_another_project, "is of another project or format"),
        (lacking_a_table, "lacks provider_states; restore one by one"),
        (of_other_content, "is not what the snapshot holds; nothing was changed"),
        (shutil.rmtree, "holds no whole snapshot"),
    ],
)
def test_one_that_cannot_be_used_changes_nothing(snapshot: Snapshot, fault: Any, said: str) -> None:
    fault(Path(snapshot.folder))
    CacheEntry.objects.filter(cache_type="CACHE_FACTOR").delete()
    before = contents()
    with pytest.raises(CommandError, match=said):
        call_command("restore", "--latest", "--no-input")
    assert contents() == before
    assert not RecoveryRun.objects.filter(ended_at=None).exists()
