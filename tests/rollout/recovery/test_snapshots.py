"""Snapshots are complete and of one moment, and one that is not is never used."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.models.functions import Now

from caching.models import CacheEntry, CacheTarget
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from core.errors import Refused
from providers.models import GameLog, Provider
from rollout.models import Snapshot
from rollout.recovery.protect import protected
from rollout.recovery.snapshots import operations, writer
from rollout.recovery.snapshots.manifest import MANIFEST_FILE, Manifest, UnusableSnapshot
from tests import databases
from tests.caching.conftest import bring_season
from tests.conftest import committed
from tests.databases import ROOT
from tests.rollout.recovery.conftest import contents

pytestmark = committed
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def season(fleet: None) -> None:
    """A season of box scores, a cache entry, and a provider whose address has every character that COPY escapes."""
    bring_season("NBA")
    warm(CacheTarget.objects.filter(cache_type="CACHE_FACTOR", sport="NBA"), actor=SYSTEM)
    Provider.objects.filter(name="stub").update(base_url="a\tb\\c\nd é")


def manifest_of(snapshot: Snapshot) -> Manifest:
    return Manifest.read(Path(snapshot.folder))


def file_of(snapshot: Snapshot, table: str) -> Path:
    return Path(snapshot.folder) / f"{table}.copy.zst"


def test_a_snapshot_holds_every_protected_table_and_can_be_read_back(season: None, capsys: Capture) -> None:
    call_command("snapshot", "create", "--reason", "a test", "--json")
    document = json.loads(capsys.readouterr().out)
    snapshot = Snapshot.objects.get()
    assert (document["name"], document["reason"], document["tables"]) == (snapshot.name, "a test", len(protected()))
    tables = {table.model: table for table in manifest_of(snapshot).tables}
    assert tables["providers.GameLog"].rows == GameLog.objects.count() > 100
    assert tables["caching.CacheEntry"].rows == 1
    assert document["rows"] == sum(table.rows for table in tables.values())
    assert document["size_bytes"] == sum(file.stat().st_size for file in Path(snapshot.folder).glob("*.zst"))
    last_migrations = MigrationLoader(connection).graph.leaf_nodes("caching")
    assert last_migrations == [("caching", manifest_of(snapshot).schema["caching"])]
    assert Path(snapshot.folder).stat().st_mode & 0o777 == 0o700
    call_command("snapshot", "verify")
    assert f"{snapshot.name} is complete and unaltered" in capsys.readouterr().out
    snapshot.refresh_from_db()
    assert snapshot.verified_at is not None
    call_command("snapshot", "list")
    assert snapshot.name in capsys.readouterr().out


def test_copy_reads_the_files_back_as_the_same_rows(season: None) -> None:
    snapshot = operations.create(actor=SYSTEM)
    [table] = [table for table in manifest_of(snapshot).tables if table.model == "providers.Provider"]
    with file_of(snapshot, "providers_provider").open("rb") as file:
        rows = b"".join(operations.decompress(file))
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE copied (LIKE providers_provider)")
        with cursor.copy(f"COPY copied ({', '.join(table.columns)}) FROM STDIN") as copy:
            copy.write(rows)
        cursor.execute("SELECT count(*) FROM (TABLE copied EXCEPT TABLE providers_provider) difference")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT base_url FROM copied WHERE name = 'stub'")
        assert cursor.fetchone() == ("a\tb\\c\nd é",)


def test_the_keys_of_the_manifest_are_stable(season: None) -> None:
    """Snapshots of earlier releases have to stay readable."""
    document = json.loads((Path(operations.create(actor=SYSTEM).folder) / MANIFEST_FILE).read_bytes())
    assert list(document) == ["format", "project", "name", "host", "made_at", "schema", "tables"]
    assert (document["format"], document["project"]) == (2, "slipway")
    keys = ["model", "table", "file", "columns", "lasting", "rows", "bytes", "sha256", "content"]
    assert {tuple(table) for table in document["tables"]} == {tuple(keys)}


def test_the_content_hash_covers_the_rows_but_no_column_that_changes_by_itself(season: None) -> None:
    before = contents()["portfolio_rationales"]
    CacheEntry.objects.update(hit_count=99, last_accessed_at=Now())
    assert contents()["portfolio_rationales"] == before
    CacheEntry.objects.update(narrative="another")
    assert contents()["portfolio_rationales"] != before
    warm(CacheTarget.objects.filter(cache_type="CACHE_CORRELATION", sport="NBA"), actor=SYSTEM)
    first, second = CacheEntry.objects.order_by("pk")[:2]
    before = contents()["portfolio_rationales"]
    CacheEntry.objects.filter(pk=first.pk).update(confidence=0.25, sample_size=7)
    CacheEntry.objects.filter(pk=second.pk).update(confidence=0.75, sample_size=9)
    between = contents()["portfolio_rationales"]
    CacheEntry.objects.filter(pk=first.pk).update(confidence=0.75)
    CacheEntry.objects.filter(pk=second.pk).update(confidence=0.25)
    hashes = {before, between, contents()["portfolio_rationales"]}
    assert len(hashes) == 3, "two rows that swap a value have another hash"
    before = contents()["providers_gamelog"]
    GameLog.objects.filter(pk=GameLog.objects.values("pk")[:1]).delete()
    assert contents()["providers_gamelog"] != before


def test_a_snapshot_shows_one_moment_while_other_sessions_write(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is added after the first table was copied is in none of the files."""
    real_write_table = writer.write_table

    def add_provider() -> None:
        Provider.objects.get_or_create(name="late", defaults={"adapter": "odds_api"})
        connection.close()

    def write_table_then_add_provider(*args: object) -> object:
        file = real_write_table(*args)  # type: ignore[arg-type]
        thread = threading.Thread(target=add_provider)
        thread.start()
        thread.join()
        return file

    providers = Provider.objects.count()
    monkeypatch.setattr(writer, "write_table", write_table_then_add_provider)
    snapshot = operations.create(actor=SYSTEM)
    [table] = [table for table in manifest_of(snapshot).tables if table.model == "providers.Provider"]
    assert (table.rows, Provider.objects.count()) == (providers, providers + 1)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def alter(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def delete(file: Path) -> None:
    file.unlink()


def delete_manifest(file: Path) -> None:
    (file.parent / MANIFEST_FILE).unlink()


def alter_manifest(file: Path) -> None:
    (file.parent / MANIFEST_FILE).write_text("{")


def change_project(file: Path) -> None:
    manifest = file.parent / MANIFEST_FILE
    manifest.write_text(manifest.read_text().replace("slipway", "other"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "it was cut to"),
        (alter, "it was altered"),
        (delete, "cannot read"),
        (delete_manifest, "holds no complete snapshot"),
        (alter_manifest, "it was altered"),
        (change_project, "it holds a snapshot of project other, format 2"),
    ],
)
def test_a_damaged_snapshot_fails_its_verification(
    season: None, notice_kinds: list[str], damage: Callable[[Path], None], message: str
) -> None:
    snapshot = operations.create(actor=SYSTEM)
    damage(file_of(snapshot, "providers_gamelog"))
    with pytest.raises(CommandError, match=message) as failure:
        call_command("snapshot", "verify", snapshot.name)
    assert failure.value.returncode == 3
    snapshot.refresh_from_db()
    assert message in snapshot.problem
    assert snapshot.verified_at is None
    assert notice_kinds == ["snapshot_failed"]


def test_the_error_for_a_snapshot_of_another_host_names_that_host(season: None) -> None:
    snapshot = operations.create(actor=SYSTEM)
    Snapshot.objects.update(host="db-2.example.com", folder="/srv/elsewhere")
    snapshot.refresh_from_db()
    with pytest.raises(UnusableSnapshot, match=r"it is on host db-2\.example\.com"):
        operations.verify(snapshot, actor=SYSTEM)


def test_a_full_disk_leaves_no_files(
    season: None, folder: Path, notice_kinds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer.MeasuredFile, "write", refuse)
    with pytest.raises(CommandError, match="No space left on device") as failure:
        call_command("snapshot", "create")
    assert failure.value.returncode == 3
    assert list(folder.iterdir()) == []
    assert notice_kinds == ["snapshot_failed"]
    assert not Snapshot.objects.exists()


KILLED = """
import os, django; django.setup()
from core.access.actors import SYSTEM
from rollout.recovery.snapshots import operations, writer
from rollout.recovery.snapshots.manifest import Manifest
Manifest.write = lambda self, folder: os.kill(os.getpid(), 9)
operations.create(actor=SYSTEM)
"""


def test_a_snapshot_whose_process_was_killed_is_not_used(season: None, folder: Path) -> None:
    environment = os.environ | {"DATABASE_URL": databases.address(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    environment |= {"SNAPSHOT_DIR": str(folder)}
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -9
    [partial] = folder.iterdir()
    assert partial.name.endswith(".partial")
    assert not Snapshot.objects.exists()
    with pytest.raises(UnusableSnapshot, match="holds no complete snapshot"):
        Manifest.read(partial)
    os.utime(partial, (0, 0))
    assert operations.prune(actor=SYSTEM) == [partial.name]


def test_pruning_keeps_the_newest_snapshots_and_the_last_verified_one(season: None) -> None:
    snapshots = [operations.create(actor=SYSTEM) for _ in range(6)]
    operations.verify(snapshots[0], actor=SYSTEM)
    for age, snapshot in enumerate(reversed(snapshots)):
        Snapshot.objects.filter(pk=snapshot.pk).update(created_at=Now() - timedelta(days=40 + age))
    deleted = operations.prune(actor=SYSTEM)
    assert sorted(deleted) == sorted(snapshot.name for snapshot in snapshots[1:3])
    assert not Path(snapshots[1].folder).exists()
    assert Path(snapshots[0].folder).exists()


def test_the_nightly_snapshot_is_created_and_read_back(season: None) -> None:
    operations.run_nightly(actor=SYSTEM)
    snapshot = Snapshot.objects.get()
    assert (snapshot.reason, snapshot.made_by) == ("daily", "system")
    assert snapshot.verified_at is not None


def test_each_operation_needs_its_permission(season: None, member: Callable[[str], User]) -> None:
    viewer = member("Viewer")
    with pytest.raises(Refused):
        operations.create(actor=viewer)
    snapshot = operations.create(actor=member("Operator"))
    with pytest.raises(Refused):
        operations.verify(snapshot, actor=viewer)
    with pytest.raises(Refused):
        operations.prune(actor=viewer)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["verify"], 2, "cannot find a snapshot: none was created yet; run: manage.py snapshot create"),
        (["verify", "none"], 2, "cannot find snapshot none; run: manage.py snapshot list"),
        (["create", "mine"], 2, "cannot use a name with create"),
    ],
)
def test_a_wrong_use_of_the_command_is_one_line(args: list[str], code: int, message: str) -> None:
    with pytest.raises(CommandError, match=message) as failure:
        call_command("snapshot", *args)
    assert failure.value.returncode == code


def test_a_snapshot_that_cannot_be_recorded_leaves_no_files(
    season: None, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def refuse(**columns: object) -> None:
        raise DatabaseError("no answer")

    monkeypatch.setattr(Snapshot.objects, "create", refuse)
    with pytest.raises(operations.CannotSnapshot, match="no answer"):
        operations.create(actor=SYSTEM)
    assert list(folder.iterdir()) == []
