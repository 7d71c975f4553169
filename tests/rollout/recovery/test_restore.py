"""A restore puts the data of a snapshot back, all or nothing, and leaves stages and logs alone."""

import hashlib
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
from rollout.models import GuardPolicy, RecoveryRun, Rollout, Snapshot, StagePolicy, VisitEvidence
from rollout.operations import own_guards, policies
from rollout.operations.lifecycle import Overtaken
from rollout.recovery import operations
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.shape import Shape, read_table_shape
from rollout.recovery.restore import restore, table_swap
from rollout.recovery.snapshots import operations as snapshots
from rollout.recovery.snapshots.compression import compressing, decompressing
from rollout.recovery.snapshots.manifest import MANIFEST_FILE
from tests.rollout.recovery.conftest import Capture, activate_fully, contents, session


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def restore_and_describe(*args: str) -> dict[str, Any]:
    """Restore, and return what the evidence says of each table, as JSON."""
    call_command("restore", *(args or ("--latest",)), "--no-input")
    run = RecoveryRun.objects.all()[0]
    tables: dict[str, Any] = run.steps.get(name="restore").evidence["tables"]
    return tables


def test_a_restore_writes_only_the_rows_that_differ(snapshot: Snapshot) -> None:
    before = contents()
    CacheEntry.objects.all()[0].delete()
    CacheEntry.objects.filter(cache_type="CACHE_FACTOR").update(narrative="another", hit_count=7)
    Provider.objects.create(name="late", adapter="odds_api")
    CacheTarget.objects.update(fence=99)
    tables = restore_and_describe()
    assert tables["portfolio_rationales"] == {"added": 1, "changed": 4, "removed": 0, "how": "rows"}
    assert tables["providers_provider"] == {"added": 0, "changed": 0, "removed": 1, "how": "rows"}
    assert tables["providers_gamelog"]["how"] == "as it was"
    assert contents() == before
    assert set(CacheTarget.objects.values_list("fence", flat=True)) == {99}, (
        "an older fence would let a worker write that lost its lease"
    )
    assert CacheEntry.objects.filter(hit_count=7).count() == 4


def test_a_table_with_many_differing_rows_is_replaced(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "REPLACE_ABOVE_ROWS", 5)
    before = contents()
    execute("ALTER TABLE providers_gamelog SET (fillfactor = 90)")
    execute("GRANT SELECT ON providers_gamelog TO PUBLIC")
    shape_before = shape_of("providers_gamelog")
    highest = GameLog.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    GameLog.objects.all().delete()
    assert restore_and_describe()["providers_gamelog"]["how"] == "replaced"
    assert contents() == before
    assert shape_of("providers_gamelog") == shape_before
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_table_privilege('public', 'providers_gamelog', 'SELECT'), nextval("
            "pg_get_serial_sequence('providers_gamelog', 'id')), (SELECT reloptions::text FROM pg_class "
            "WHERE oid = 'providers_gamelog'::regclass)"
        )
        assert cursor.fetchone() == (True, highest + 1, "{fillfactor=90}")


def shape_of(table: str) -> Shape:
    return read_table_shape(connection, table)


def test_the_command_shows_the_changes_before_it_makes_them(snapshot: Snapshot, capsys: Capture) -> None:
    CacheEntry.objects.filter(cache_type="CACHE_FACTOR").delete()
    before = contents()
    call_command("restore", "--latest", "--dry-run", "--json")
    planned = json.loads(capsys.readouterr().out)["tables"]
    assert planned["portfolio_rationales"] == {"added": 4, "changed": 0, "removed": 0}
    with pytest.raises(CommandError, match="cannot ask for confirmation: there is no terminal"):
        call_command("restore", "--latest")
    assert "portfolio_rationales                  4 added" in capsys.readouterr().err
    assert contents() == before
    assert not RecoveryRun.objects.exists()


def test_a_single_table_can_be_restored(snapshot: Snapshot) -> None:
    CacheEntry.objects.all().delete()
    ProviderState.objects.filter(provider="stub").update(is_enabled=False)
    assert list(restore_and_describe("--latest", "--table", "portfolio_rationales")) == ["portfolio_rationales"]
    assert CacheEntry.objects.count() == 25
    assert not ProviderState.objects.filter(provider="stub", is_enabled=True).exists()
    with pytest.raises(
        CommandError, match=r"cannot restore table auth_user: snapshot .* does not hold it; choose one of"
    ):
        call_command("restore", "--latest", "--table", "auth_user")


def test_rows_that_reference_removed_rows_are_deleted_with_them(snapshot: Snapshot) -> None:
    Provider.objects.create(name="late", adapter="odds_api")
    state = ProviderState.objects.create(provider_id="late", sport_id="NBA")
    line = PropLine.objects.create(state=state, bookmaker="b", market="points", player="A", side="Over", price=1.9)
    line.moves.create(was=1.8, price=1.9)
    assert restore_and_describe()["provider_states"]["with_them"] == {"providers_pricemove": 1, "providers_propline": 1}
    assert not PropLine.objects.exists()


def test_a_restore_never_changes_a_stage(snapshot: Snapshot) -> None:
    activate_fully()
    StagePolicy.objects.filter(stage="DARK_MODE").update(minutes=77)
    ProviderState.objects.filter(provider="stub").update(is_enabled=False)
    PollSlot.objects.update(next_poll_at=None)
    restore_and_describe()
    assert Rollout.objects.get().stage == "FULL_ACTIVE"
    assert StagePolicy.objects.get(stage="DARK_MODE").minutes == 10
    assert PollSlot.objects.exclude(next_poll_at=None).exists(), "the slots follow the restored states"


def test_a_column_that_the_snapshot_lacks_gets_its_default(snapshot: Snapshot) -> None:
    """The snapshot is as an older release would have made it."""
    folder = Path(snapshot.folder)
    manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
    [table] = [table for table in manifest["tables"] if table["table"] == "portfolio_rationales"]
    remove_column(folder, table, "narrative")
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    CacheEntry.objects.filter(cache_type="CACHE_FACTOR").delete()
    call_command("restore", "--latest", "--no-input")
    assert set(CacheEntry.objects.filter(cache_type="CACHE_FACTOR").values_list("narrative", flat=True)) == {""}
    assert not CacheEntry.objects.exclude(cache_type="CACHE_FACTOR").filter(narrative="").exists()
    evidence = RecoveryRun.objects.get().steps.get(name="restore").evidence
    assert (evidence["tables"]["portfolio_rationales"]["added"], evidence["not_comparable"]) == (4, [])


def remove_column(folder: Path, table: dict[str, Any], column: str) -> None:
    """Remove a column from the table's file, and from its entry in the manifest, which is plain JSON."""
    removed_position = list(table["columns"]).index(column)
    del table["columns"][column]
    table["lasting"].remove(column)
    file = folder / table["file"]
    with file.open("rb") as raw:
        rows = decompressing(raw).read().splitlines()
    fields_of_rows = [row.split(b"\t") for row in rows]
    for fields in fields_of_rows:
        del fields[removed_position]
    content = b"".join(b"\t".join(fields) + b"\n" for fields in fields_of_rows)
    with file.open("wb") as raw, compressing(raw) as compressed:
        compressed.write(content)
    table["bytes"], table["sha256"] = file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()
    hashed_columns = {name: table["columns"][name] for name in table["lasting"]}
    with connection.cursor() as cursor:
        cursor.execute(sql.content_hash_query("portfolio_rationales", hashed_columns))
        table["content"] = cursor.fetchone()[0]


def test_a_snapshot_of_another_machine_is_restored_by_the_path_of_its_folder(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    before = contents()
    shutil.copytree(snapshot.folder, tmp_path / "copied")
    Snapshot.objects.all().delete()
    CacheEntry.objects.all().delete()
    restore_and_describe(str(tmp_path / "copied"))
    assert contents() == before


def test_a_restore_does_not_wait_for_a_reader_that_never_ends(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "REPLACE_ABOVE_ROWS", 5)
    monkeypatch.setattr(table_swap, "LOCK_ATTEMPTS", 2)
    CacheEntry.objects.all().delete()
    with session() as other:
        other.execute("SELECT count(*) FROM portfolio_rationales")
        with pytest.raises(CommandError, match=r"other sessions kept reading for 0\.4 s"):
            call_command("restore", "--latest", "--no-input")
    assert not CacheEntry.objects.exists()


def test_rows_that_swapped_a_unique_value_are_restored(snapshot: Snapshot) -> None:
    before = contents()
    first, second = CacheEntry.objects.order_by("pk")[:2]
    for entry, key in ((first, "temporary"), (second, first.cache_key), (first, second.cache_key)):
        CacheEntry.objects.filter(pk=entry.pk).update(cache_key=key)
    assert restore_and_describe()["portfolio_rationales"]["changed"] == 2
    assert contents() == before


def test_a_restore_neither_adds_nor_removes_policies(snapshot: Snapshot) -> None:
    policies.create_rollout("another", actor=SYSTEM)
    restore_and_describe()
    assert StagePolicy.objects.filter(rollout__name="another").count() == 4
    later = snapshots.create(actor=SYSTEM)
    Rollout.objects.filter(name="another").delete()
    restore_and_describe(later.name)
    assert not StagePolicy.objects.exclude(rollout__name="derived-data").exists()


def dark_mode() -> StagePolicy:
    return StagePolicy.objects.get(stage="DARK_MODE")


def edit(policy: StagePolicy, minutes: float) -> None:
    policy.minutes = minutes
    policies.save_policies([policy], actor=SYSTEM)


def test_an_edit_of_a_policy_is_refused_if_its_page_was_opened_before_a_restore(snapshot: Snapshot) -> None:
    edit(dark_mode(), 20)
    opened, other_stage = dark_mode(), StagePolicy.objects.get(stage="SHADOW_MODE")
    restore_and_describe()
    assert dark_mode().minutes == 10
    with pytest.raises(Overtaken, match="minutes: 20 → 10"):
        edit(opened, 30)
    edit(dark_mode(), 40)
    with pytest.raises(Overtaken, match="it changed after you opened it"):
        edit(opened, 30)  # as many edits as when it was opened, but others
    assert dark_mode().minutes == 40
    edit(other_stage, 5)  # the restore did not change it


def test_a_restore_keeps_the_own_guards_and_the_evidence_of_the_present_visit(snapshot: Snapshot) -> None:
    policy = StagePolicy.objects.get(stage="SHADOW_MODE")
    added = GuardPolicy(policy=policy, guard="own_mean", metric="margin", at_most=0)
    own_guards.add_own_guard(added, actor=SYSTEM)
    visit = VisitEvidence.objects.create(rollout=policy.rollout, visit=policy.rollout.visit, tick=7, record=b"{}")
    later = snapshots.create(actor=SYSTEM)
    assert "rollout_visitevidence" not in (Path(later.folder) / MANIFEST_FILE).read_text()
    restore_and_describe(snapshot.name)
    assert GuardPolicy.objects.filter(pk=added.pk).exists()
    own_guards.delete_own_guard(GuardPolicy.objects.get(pk=added.pk), actor=SYSTEM)
    full = StagePolicy.objects.get(stage="FULL_ACTIVE")
    full.hold_back_percent = 10
    policies.save_policies([full], actor=SYSTEM)
    restore_and_describe(later.name)
    assert not GuardPolicy.objects.filter(metric="margin").exists()
    assert StagePolicy.objects.get(stage="FULL_ACTIVE").hold_back_percent == 0
    visit.refresh_from_db()
    assert visit.tick == 7


def test_a_restore_of_other_tables_does_not_resume_an_interrupted_one(snapshot: Snapshot) -> None:
    operations.restore(snapshot, only="portfolio_rationales", actor=SYSTEM)
    CacheEntry.objects.all().delete()
    restore_and_describe()
    assert set(RecoveryRun.objects.values_list("table", "outcome")) == {
        ("portfolio_rationales", "failed"),
        ("", "done"),
    }


def test_a_folder_that_has_no_record_here_can_be_verified(snapshot: Snapshot, capsys: Capture) -> None:
    capsys.readouterr()
    call_command("snapshot", "verify", snapshot.folder)
    assert "is complete and unaltered: 9 tables" in capsys.readouterr().out


def test_a_restore_cannot_be_undone_like_a_rollback(snapshot: Snapshot) -> None:
    """A restore takes no snapshot: it is undone by the restore of another snapshot."""
    with pytest.raises(WrongInput, match="there is no rollback"):
        operations.find_undoable()
