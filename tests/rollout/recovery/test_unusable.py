"""A snapshot that cannot be used is refused, and no data changes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from caching.models import CacheEntry
from rollout.models import RecoveryRun, Snapshot
from rollout.recovery.snapshots.manifest import MANIFEST_FILE
from tests.rollout.recovery.conftest import contents

FILE = "portfolio_rationales.copy.zst"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest as plain JSON, so that a test can write any change into it."""
    manifest: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_bytes())
    return manifest


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def alter_file(folder: Path) -> None:
    content = bytearray((folder / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / FILE).write_bytes(bytes(content))


def cut_file(folder: Path) -> None:
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-20])


def add_newer_migration(folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest["schema"]["caching"] = "9999_later"
    write_manifest(folder, manifest)


def change_project(folder: Path) -> None:
    write_manifest(folder, read_manifest(folder) | {"project": "another"})


def leave_out_a_table(folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest["tables"] = [table for table in manifest["tables"] if table["table"] != "provider_states"]
    write_manifest(folder, manifest)


def change_content_hashes(folder: Path) -> None:
    manifest = read_manifest(folder)
    for table in manifest["tables"]:
        table["content"] = "1:2"
    write_manifest(folder, manifest)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (alter_file, "portfolio_rationales.copy.zst of .*: it was altered, .*; choose another snapshot"),
        (cut_file, "portfolio_rationales.copy.zst of .*: it was cut to"),
        (
            add_newer_migration,
            "a newer release made it, with migrations that this database does not have: caching.9999_later; "
            "install that release",
        ),
        (change_project, "it holds a snapshot of project another, format 2; this release reads project slipway"),
        (leave_out_a_table, "it does not hold provider_states; restore its tables one by one"),
        (change_content_hashes, "do not have the snapshot's content hash; nothing was changed"),
        (shutil.rmtree, "holds no complete snapshot"),
    ],
)
def test_an_unusable_snapshot_changes_nothing(snapshot: Snapshot, damage: Callable[[Path], None], message: str) -> None:
    damage(Path(snapshot.folder))
    CacheEntry.objects.filter(cache_type="CACHE_FACTOR").delete()
    before = contents()
    with pytest.raises(CommandError, match=message):
        call_command("restore", "--latest", "--no-input")
    assert contents() == before
    assert not RecoveryRun.objects.filter(ended_at=None).exists()
