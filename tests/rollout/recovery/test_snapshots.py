"""Snapshots: whole, of one moment, and never taken for one when they are not."""

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
from django.db.models.functions import Now

from caching.models import CacheEntry, CacheTarget
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from core.errors import Refused
from core.notices import notify
from providers.models import GameLog, Provider
from rollout.models import Snapshot
from rollout.recovery.protect import protected
from rollout.recovery.snapshots import operations, writer
from rollout.recovery.snapshots.manifest import FILE, Manifest, Unusable
from tests import databases
from tests.caching.conftest import bring_season
from tests.conftest import committed
from tests.databases import ROOT
from tests.rollout.recovery.conftest import contents

pytestmark = committed
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(notify, "_channels", [lambda event: heard.append(event.kind)])
    return heard


@pytest.fixture
def data(fleet: None) -> None:
    bring_season("NBA")
    warm(CacheTarget.objects.filter(cache_type="CACHE_FACTOR", sport="NBA"), actor=SYSTEM)
    Provider.objects.filter(name="stub").update(base_url="a\tb\\c\nd é")  # what COPY's text has to escape


def manifest(snapshot: Snapshot) -> Manifest:
    return Manifest.read(Path(snapshot.folder))


def file_of(snapshot: Snapshot, table: str) -> Path:
    return Path(snapshot.folder) / f"{table}.copy.zst"


def test_it_holds_every_protected_table_and_is_read_back(data: None, capsys: Capture) -> None:
    call_command("snapshot", "create", "--reason", "a test", "--json")
    made = json.loads(capsys.readouterr().out)
    snapshot = Snapshot.objects.get()
    assert (made["name"], made["reason"], made["tables"]) == (snapshot.name, "a test", len(protected()))
    of = {table.model: table for table in manifest(snapshot).tables}
    assert of["providers.GameLog"].rows == GameLog.objects.count() > 100
    assert of["caching.CacheEntry"].rows == 1
    assert made["rows"] == sum(table.rows for table in of.values())
    assert made["size_bytes"] == sum(file.stat().st_size for file in Path(snapshot.folder).glob("*.zst"))
    assert manifest(snapshot).schema["caching"].startswith("0004")
    assert Path(snapshot.folder).stat().st_mode & 0o777 == 0o700
    call_command("snapshot", "verify")
    assert f"{snapshot.name} is whole" in capsys.readouterr().out
    snapshot.refresh_from_db()
    assert snapshot.verified_at is not None
    call_command("snapshot", "list")
    assert snapshot.name in capsys.readouterr().out


def test_what_is_in_the_files_is_what_copy_takes_back(data: None) -> None:
    snapshot = operations.create(actor=SYSTEM)
    [table] = [table for table in manifest(snapshot).tables if table.model == "providers.Provider"]
    with file_of(snapshot, "providers_provider").open("rb") as raw:
        text = b"".join(operations.unpacked(raw))
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE again (LIKE providers_provider)")
        with cursor.copy(f"COPY again ({', '.join(table.columns)}) FROM STDIN") as copy:
            copy.write(text)
        cursor.execute("SELECT count(*) FROM (TABLE again EXCEPT TABLE providers_provider) other")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT base_url FROM again WHERE name = 'stub'")
        assert cursor.fetchone() == ("a\tb\\c\nd é",)


def test_the_content_hash_is_of_the_rows_and_not_of_what_changes_by_itself(data: None) -> None:
    before = contents()["portfolio_rationales"]
    CacheEntry.objects.update(hit_count=99, last_accessed_at=Now())
    assert contents()["portfolio_rationales"] == before
    CacheEntry.objects.update(narrative="another")
    assert contents()["portfolio_rationales"] != before
    warm(CacheTarget.objects.filter(cache_type="CACHE_CORRELATION", sport="NBA"), actor=SYSTEM)
    one, other = CacheEntry.objects.order_by("pk")[:2]
    before = contents()["portfolio_rationales"]
    CacheEntry.objects.filter(pk=one.pk).update(confidence=0.25, sample_size=7)
    CacheEntry.objects.filter(pk=other.pk).update(confidence=0.75, sample_size=9)
    between = contents()["portfolio_rationales"]
    CacheEntry.objects.filter(pk=one.pk).update(confidence=0.75)
    CacheEntry.objects.filter(pk=other.pk).update(confidence=0.25)
    assert len({before, between, contents()["portfolio_rationales"]}) == 3, "two rows that swap a value are others"
    before = contents()["providers_gamelog"]
    GameLog.objects.filter(pk=GameLog.objects.values("pk")[:1]).delete()
    assert contents()["providers_gamelog"] != before


def test_it_is_of_one_moment_while_others_write(data: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is added after the first table was copied is in none of them."""
    real = writer._file

    def slowly(*about: object) -> object:
        def write() -> None:
            Provider.objects.get_or_create(name="late", defaults={"adapter": "odds_api"})
            connection.close()

        made = real(*about)  # type: ignore[arg-type]
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        return made

    providers = Provider.objects.count()
    monkeypatch.setattr(writer, "_file", slowly)
    snapshot = operations.create(actor=SYSTEM)
    [table] = [table for table in manifest(snapshot).tables if table.model == "providers.Provider"]
    assert (table.rows, Provider.objects.count()) == (providers, providers + 1)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "was cut"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"x"), "was altered"),
        (lambda file: file.unlink(), "cannot be read"),
        (lambda file: (file.parent / FILE).unlink(), "holds no whole snapshot"),
        (lambda file: (file.parent / FILE).write_text("{"), "was altered"),
        (
            lambda file: (file.parent / FILE).write_text((file.parent / FILE).read_text().replace("slipway", "other")),
            "another project",
        ),
    ],
)
def test_what_is_not_as_it_was_made_is_refused(
    data: None, told: list[str], harm: Callable[[Path], object], said: str
) -> None:
    snapshot = operations.create(actor=SYSTEM)
    harm(file_of(snapshot, "providers_gamelog"))
    with pytest.raises(CommandError, match=said) as refused:
        call_command("snapshot", "verify", snapshot.name)
    assert refused.value.returncode == 3
    snapshot.refresh_from_db()
    assert said in snapshot.problem
    assert snapshot.verified_at is None
    assert told == ["snapshot_failed"]


def test_one_of_another_host_says_where_it_lies(data: None) -> None:
    snapshot = operations.create(actor=SYSTEM)
    Snapshot.objects.update(host="db-2.example.com", folder="/srv/elsewhere")
    snapshot.refresh_from_db()
    with pytest.raises(Unusable, match=r"lies on db-2\.example\.com"):
        operations.verify(snapshot, actor=SYSTEM)


def test_a_full_disk_leaves_nothing(data: None, folder: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer._Written, "write", full)
    with pytest.raises(CommandError, match="No space left on device") as refused:
        call_command("snapshot", "create")
    assert refused.value.returncode == 3
    assert list(folder.iterdir()) == []
    assert told == ["snapshot_failed"]
    assert not Snapshot.objects.exists()


KILLED = """
import os, django; django.setup()
from core.access.actors import SYSTEM
from rollout.recovery.snapshots import operations, writer
from rollout.recovery.snapshots.manifest import Manifest
Manifest.write = lambda self, folder: os.kill(os.getpid(), 9)
operations.create(actor=SYSTEM)
"""


def test_one_that_was_killed_half_way_is_no_snapshot(data: None, folder: Path) -> None:
    environment = os.environ | {"DATABASE_URL": databases.address(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    environment |= {"SNAPSHOT_DIR": str(folder)}
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -9
    [left] = folder.iterdir()
    assert left.name.endswith(".partial")
    assert not Snapshot.objects.exists()
    with pytest.raises(Unusable, match="holds no whole snapshot"):
        Manifest.read(left)
    os.utime(left, (0, 0))
    assert operations.prune(actor=SYSTEM) == [left.name]


def test_old_ones_go_but_never_the_newest_nor_the_last_that_was_verified(data: None) -> None:
    made = [operations.create(actor=SYSTEM) for _ in range(6)]
    operations.verify(made[0], actor=SYSTEM)
    for age, snapshot in enumerate(reversed(made)):
        Snapshot.objects.filter(pk=snapshot.pk).update(created_at=Now() - timedelta(days=40 + age))
    gone = operations.prune(actor=SYSTEM)
    assert sorted(gone) == sorted(snapshot.name for snapshot in made[1:3])
    assert not Path(made[1].folder).exists()
    assert Path(made[0].folder).exists()


def test_the_daily_one_is_made_and_read_back(data: None) -> None:
    operations.daily(actor=SYSTEM)
    snapshot = Snapshot.objects.get()
    assert (snapshot.reason, snapshot.made_by) == ("daily", "system")
    assert snapshot.verified_at is not None


def test_only_who_may_does(data: None, member: Callable[[str], User]) -> None:
    viewer = member("Viewer")
    with pytest.raises(Refused):
        operations.create(actor=viewer)
    snapshot = operations.create(actor=member("Operator"))
    with pytest.raises(Refused):
        operations.verify(snapshot, actor=viewer)
    with pytest.raises(Refused):
        operations.prune(actor=viewer)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["verify"], 2, "there is no snapshot at all; make one: manage.py snapshot create"),
        (["verify", "none"], 2, "there is no snapshot none"),
        (["create", "mine"], 2, "create takes no name"),
    ],
)
def test_what_cannot_be_done_is_one_line(args: list[str], code: int, said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        call_command("snapshot", *args)
    assert refused.value.returncode == code


def test_one_that_cannot_be_recorded_leaves_nothing(data: None, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def refuse(**columns: object) -> None:
        raise DatabaseError("no answer")

    monkeypatch.setattr(Snapshot.objects, "create", refuse)
    with pytest.raises(operations.CannotSnapshot, match="no answer"):
        operations.create(actor=SYSTEM)
    assert list(folder.iterdir()) == []
