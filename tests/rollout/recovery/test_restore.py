"""Restoring a snapshot: all or nothing, and never what should not be."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from caching.models import CacheEntry, CacheTarget
from core.access.actors import SYSTEM
from core.errors import WrongInput
from providers.models import GameLog, PollSlot, PropLine, Provider, ProviderState
from rollout.models import RecoveryRun, Rollout, Snapshot, StagePolicy
from rollout.operations import policies
from rollout.recovery import operations
from rollout.recovery.restore import restore, table_swap
from rollout.recovery.snapshots import operations as snapshots
from rollout.recovery.snapshots.manifest import FILE
from tests.rollout.recovery.conftest import Capture, contents, full


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def restored(*args: str) -> dict[str, Any]:
    """What it did to each table."""
    call_command("restore", *(args or ("--latest",)), "--no-input")
    found: dict[str, Any] = RecoveryRun.objects.first().steps.get(name="restore").evidence["tables"]  # type: ignore[union-attr]
    return found


def test_only_what_differs_is_written(snapshot: Snapshot) -> None:
    before = contents()
    gone = CacheEntry.objects.first()
    assert gone is not None
    gone.delete()
    CacheEntry.objects.filter(cache_type="CACHE_FACTOR").update(narrative="another", hit_count=7)
    Provider.objects.create(name="late", adapter="odds_api")
    CacheTarget.objects.update(fence=99)
    done = restored()
    assert done["portfolio_rationales"] == {"added": 1, "changed": 4, "removed": 0, "how": "rows"}
    assert done["providers_provider"] == {"added": 0, "changed": 0, "removed": 1, "how": "rows"}
    assert done["providers_gamelog"]["how"] == "as it was"
    assert contents() == before
    assert set(CacheTarget.objects.values_list("fence", flat=True)) == {99}, "an older fence would let late workers in"
    assert CacheEntry.objects.filter(hit_count=7).count() == 4


def test_where_most_differs_the_table_is_replaced(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "WORTH_REPLACING", 5)
    before = contents()
    execute("ALTER TABLE providers_gamelog SET (fillfactor = 90)")
    execute("GRANT SELECT ON providers_gamelog TO PUBLIC")
    shape_before = columns_and_keys("providers_gamelog")
    highest = GameLog.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    GameLog.objects.all().delete()
    assert restored()["providers_gamelog"]["how"] == "replaced"
    assert contents() == before
    assert columns_and_keys("providers_gamelog") == shape_before
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_table_privilege('public', 'providers_gamelog', 'SELECT'), nextval("
            "pg_get_serial_sequence('providers_gamelog', 'id')), (SELECT reloptions::text FROM pg_class "
            "WHERE oid = 'providers_gamelog'::regclass)"
        )
        assert cursor.fetchone() == (True, highest + 1, "{fillfactor=90}")


def columns_and_keys(table: str) -> Any:
    from rollout.recovery.postgres.shape import shape

    return shape(connection, table)


def test_the_command_shows_first_what_would_change(snapshot: Snapshot, capsys: Capture) -> None:
    CacheEntry.objects.filter(cache_type="CACHE_FACTOR").delete()
    before = contents()
    call_command("restore", "--latest", "--dry-run", "--json")
    shown = json.loads(capsys.readouterr().out)["tables"]
    assert shown["portfolio_rationales"] == {"added": 4, "changed": 0, "removed": 0}
    with pytest.raises(CommandError, match="nobody is there to confirm it"):
        call_command("restore", "--latest")
    assert "portfolio_rationales                  4 added" in capsys.readouterr().err
    assert contents() == before
    assert not RecoveryRun.objects.exists()


def test_one_table_alone(snapshot: Snapshot) -> None:
    CacheEntry.objects.all().delete()
    ProviderState.objects.filter(provider="stub").update(is_enabled=False)
    assert list(restored("--latest", "--table", "portfolio_rationales")) == ["portfolio_rationales"]
    assert CacheEntry.objects.count() == 25
    assert not ProviderState.objects.filter(provider="stub", is_enabled=True).exists()
    with pytest.raises(CommandError, match="holds no table auth_user; take one of"):
        call_command("restore", "--latest", "--table", "auth_user")


def test_what_hangs_on_rows_that_go_goes_with_them(snapshot: Snapshot) -> None:
    Provider.objects.create(name="late", adapter="odds_api")
    state = ProviderState.objects.create(provider_id="late", sport_id="NBA")
    line = PropLine.objects.create(state=state, bookmaker="b", market="points", player="A", side="Over", price=1.9)
    line.moves.create(was=1.8, price=1.9)
    assert restored()["provider_states"]["with_them"] == {"providers_pricemove": 1, "providers_propline": 1}
    assert not PropLine.objects.exists()


def test_it_restores_data_and_never_a_stage(snapshot: Snapshot) -> None:
    full()
    StagePolicy.objects.filter(stage="DARK_MODE").update(minutes=77)
    ProviderState.objects.filter(provider="stub").update(is_enabled=False)
    PollSlot.objects.update(next_poll_at=None)
    restored()
    assert Rollout.objects.get().stage == "FULL_ACTIVE"
    assert StagePolicy.objects.get(stage="DARK_MODE").minutes == 10
    assert PollSlot.objects.exclude(next_poll_at=None).exists(), "slots are as the states ask for"


def test_a_column_that_came_later_takes_its_default(snapshot: Snapshot) -> None:
    """As of a snapshot that an older release made."""
    folder = Path(snapshot.folder)
    execute("CREATE TABLE older AS SELECT * FROM portfolio_rationales ORDER BY id")
    manifest = json.loads((folder / FILE).read_bytes())
    [table] = [each for each in manifest["tables"] if each["table"] == "portfolio_rationales"]
    rewrite(folder, table, without="narrative")
    (folder / FILE).write_text(json.dumps(manifest))
    CacheEntry.objects.filter(cache_type="CACHE_FACTOR").delete()
    call_command("restore", "--latest", "--no-input")
    assert set(CacheEntry.objects.filter(cache_type="CACHE_FACTOR").values_list("narrative", flat=True)) == {""}
    assert not CacheEntry.objects.exclude(cache_type="CACHE_FACTOR").filter(narrative="").exists()
    found = RecoveryRun.objects.get().steps.get(name="restore").evidence
    assert (found["tables"]["portfolio_rationales"]["added"], found["not_comparable"]) == (4, [])


def rewrite(folder: Path, table: dict[str, Any], without: str) -> None:
    import hashlib

    import zstandard

    from rollout.recovery.postgres import sql

    at = list(table["columns"]).index(without)
    del table["columns"][without]
    table["lasting"].remove(without)
    file = folder / table["file"]
    with file.open("rb") as raw:
        lines = zstandard.ZstdDecompressor().stream_reader(raw).read().splitlines(keepends=True)
    kept = [
        b"\t".join(part for n, part in enumerate(line.rstrip(b"\n").split(b"\t")) if n != at) + b"\n" for line in lines
    ]
    file.write_bytes(zstandard.ZstdCompressor().compress(b"".join(kept)))
    table["bytes"], table["sha256"] = file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()
    with connection.cursor() as cursor:
        hashed = {name: table["columns"][name] for name in table["lasting"]}
        cursor.execute(sql.content_hash("portfolio_rationales", hashed))
        table["content"] = cursor.fetchone()[0]


def test_another_machines_is_restored_by_its_folder(snapshot: Snapshot, tmp_path: Path) -> None:
    before = contents()
    shutil.copytree(snapshot.folder, tmp_path / "brought")
    Snapshot.objects.all().delete()
    CacheEntry.objects.all().delete()
    restored(str(tmp_path / "brought"))
    assert contents() == before


def test_a_reader_that_never_ends_is_not_waited_for(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.rollout.recovery.test_locks import session

    monkeypatch.setattr(restore, "WORTH_REPLACING", 5)
    monkeypatch.setattr(table_swap, "TRIES", 2)
    CacheEntry.objects.all().delete()
    with session() as other:
        other.execute("SELECT count(*) FROM portfolio_rationales")
        with pytest.raises(CommandError, match="somebody reads"):
            call_command("restore", "--latest", "--no-input")
    assert not CacheEntry.objects.exists()


def test_rows_that_swapped_what_is_unique(snapshot: Snapshot) -> None:
    before = contents()
    one, other = CacheEntry.objects.order_by("pk")[:2]
    keys = one.cache_key, other.cache_key
    for entry, key in ((one, "aside"), (other, keys[0]), (one, keys[1])):
        CacheEntry.objects.filter(pk=entry.pk).update(cache_key=key)
    assert restored()["portfolio_rationales"]["changed"] == 2
    assert contents() == before


def test_policies_come_and_go_with_their_rollout(snapshot: Snapshot) -> None:
    policies.create("another", actor=SYSTEM)
    restored()
    assert StagePolicy.objects.filter(rollout__name="another").count() == 4
    later = snapshots.create(actor=SYSTEM)
    Rollout.objects.filter(name="another").delete()
    restored(later.name)
    assert not StagePolicy.objects.exclude(rollout__name="derived-data").exists()


def test_another_table_does_not_go_on_with_an_interrupted_one(snapshot: Snapshot) -> None:
    operations.restore(snapshot, only="portfolio_rationales", actor=SYSTEM)
    CacheEntry.objects.all().delete()
    restored()
    assert set(RecoveryRun.objects.values_list("table", "outcome")) == {
        ("portfolio_rationales", "failed"),
        ("", "done"),
    }


def test_one_brought_from_elsewhere_is_read_back(snapshot: Snapshot, capsys: Capture) -> None:
    capsys.readouterr()
    call_command("snapshot", "verify", snapshot.folder)
    assert "is whole: 9 tables" in capsys.readouterr().out


def test_an_undo_of_a_restore_is_another_restore(snapshot: Snapshot) -> None:
    """Which has its own snapshot only where somebody made one."""
    with pytest.raises(WrongInput, match="there is no rollback"):
        operations.undoable()
