"""The three ways back, each with its undo, on a whole installation."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from django.db.utils import IntegrityError

from caching.models import CacheEntry
from core.access.actors import SYSTEM
from core.errors import Refused, WrongInput
from core.switches import Part
from providers.models import PropLine, Provider, ProviderState, StatusChange
from rollout.choices import RunKind, RunOutcome, Stage
from rollout.models import Activation, RecoveryRun, Rollout, Snapshot
from rollout.operations import lifecycle as rollouts
from rollout.recovery import operations, runner
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.shape import shape
from rollout.recovery.rollback import quarantine
from tests.rollout.recovery.conftest import Capture, command, contents, full, off, suite
from tests.rollout.recovery.people import member

__all__ = ["member"]


def test_an_emergency_and_back(installation: None, capsys: Capture) -> None:
    full()
    before = contents()
    done = command(capsys, "rollback", "--level", "emergency", "--no-input", "--reason", "wrong odds")
    assert (done["outcome"], done["promised_seconds"], done["level"]) == ("done", 300, "emergency")
    names = ["rollouts", "switch_off", "quarantine", "snapshot", "verify"]
    assert [(step["name"], step["outcome"]) for step in done["steps"]] == [(name, "done") for name in names]
    assert off() == {"polling", "warming", "serving"}
    assert Rollout.objects.get().stage == Stage.DISABLED
    assert not CacheEntry.objects.exists()
    assert not ProviderState.objects.exists()
    found = suite(capsys)
    assert {found[name] for name in ("activation_as_left", "stand_ins_whole", "quarantine_unchanged")} == {"PASS"}
    undone = command(capsys, "restore", "--undo", "--no-input")
    assert undone["steps"][0]["evidence"]["written_meanwhile"] == {}
    assert contents() == before
    assert off() == {"polling", "warming", "serving"}
    assert set(suite(capsys)) == {"no_rollout_past_disabled", "no_trip_pending"}
    assert not quarantine.is_held(RecoveryRun.objects.get(kind=RunKind.EMERGENCY))


def test_what_stands_in_is_of_the_same_shape_and_numbers_on(installation: None) -> None:
    tables = ["portfolio_rationales", "provider_states", "providers_propline", "providers_pricemove"]
    before = {name: shape(connection, name) for name in tables}
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM provider_states")
        [highest] = cursor.fetchone()
        cursor.execute("GRANT SELECT ON provider_states TO PUBLIC")
    run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    assert {name: shape(connection, name) for name in tables} == before
    assert runner.evidence(run, "quarantine")["differs"] == []
    assert set(quarantine.tables_of(run)) == set(tables)
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('public', 'provider_states', 'SELECT')")
        assert cursor.fetchone() == (True,)
    made = ProviderState.objects.create(provider_id="stub", sport_id="NBA")
    assert made.pk == highest + 1
    with pytest.raises(IntegrityError), transaction.atomic():
        ProviderState.objects.create(provider_id="stub", sport_id="NBA")


def test_what_was_written_to_stand_ins_is_kept_apart(installation: None, capsys: Capture) -> None:
    before = contents()
    run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    ProviderState.objects.create(provider_id="stub", sport_id="NBA")
    undone = command(capsys, "restore", "--undo", "--no-input")
    assert undone["steps"][0]["evidence"]["written_meanwhile"] == {"provider_states": 1}
    assert contents() == before
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {run.left_schema}.provider_states")
        assert cursor.fetchone() == (1,)
    purged = command(capsys, "rollback", "--purge", str(run.pk), "--no-input")
    assert [step["name"] for step in purged["steps"]] == ["drop"]
    assert not quarantine.has_left(run)
    assert contents() == before


def test_a_purge_reads_the_snapshot_back_first(installation: None, capsys: Capture) -> None:
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    PropLine.objects.create(state=state, bookmaker="b", market="points", player="A", side="Over", price=1.9)
    run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    before = contents()
    purged = command(capsys, "rollback", "--purge", str(run.pk), "--no-input")
    assert [step["name"] for step in purged["steps"]] == ["snapshot", "read_back", "drop"]
    with pytest.raises(CommandError, match="holds nothing in quarantine"):
        call_command("restore", "--undo", "--no-input")
    with pytest.raises(CommandError, match=f"run {run.pk} holds nothing in quarantine"):
        call_command("rollback", "--purge", str(run.pk), "--no-input")
    assert contents() == before
    call_command("restore", run.snapshot, "--no-input")
    assert CacheEntry.objects.count() == 25
    assert ProviderState.objects.count() == 28
    assert not PropLine.objects.exists()
    call_command("restore", run.snapshot, "--table", "providers_propline", "--no-input")
    assert PropLine.objects.get().state == state, "even logs, where they are asked for by name"


def test_standard_and_back(installation: None, capsys: Capture) -> None:
    full()
    CacheEntry.objects.filter(pk=CacheEntry.objects.values("pk")[:1]).update(is_flagged=True)
    ProviderState.objects.filter(provider="stub").update(status="error", consecutive_errors=3, last_error="no")
    ProviderState.objects.filter(provider="fanduel", sport="NBA").update(status="maintenance", total_requests=9)
    ProviderState.objects.filter(provider="betmgm").update(poll_interval_seconds=77, last_fetch_attempt=Now())
    before = contents()
    done = command(capsys, "rollback", "--level", "standard", "--no-input")
    assert (done["outcome"], done["promised_seconds"]) == ("done", 900)
    assert [step["name"] for step in done["steps"]] == ["rollouts", "switch_off", "snapshot", "clean_up", "verify"]
    assert done["snapshot"] == Snapshot.objects.get().name
    assert off() == {"polling", "warming"}
    assert not CacheEntry.objects.exists()
    assert set(ProviderState.objects.filter(provider="stub").values_list("status", flat=True)) == {"active"}
    assert ProviderState.objects.get(provider="fanduel", sport="NBA").status == "maintenance"
    assert set(ProviderState.objects.values_list("total_requests", "last_fetch_attempt", "last_error")) == {
        (0, None, "")
    }
    assert set(ProviderState.objects.filter(provider="betmgm").values_list("poll_interval_seconds", flat=True)) == {77}
    assert StatusChange.objects.filter(cause="a standard rollback").count() == 4
    found = suite(capsys)
    assert {found[name] for name in ("emptied", "states_at_baseline", "rest_unchanged", "activation_as_left")} == {
        "PASS"
    }
    undone = command(capsys, "restore", "--undo", "--no-input")
    tables = undone["steps"][0]["evidence"]["tables"]
    assert (tables["portfolio_rationales"]["added"], tables["provider_states"]["changed"]) == (25, 9)
    assert contents() == before
    call_command("reactivate", "--reason", "over")
    assert off() == set()


def test_a_plan_changes_nothing_and_knows_how_long_it_took_before(installation: None, capsys: Capture) -> None:
    plan = command(capsys, "rollback", "--level", "standard", "--dry-run")
    assert {step["estimated_seconds"] for step in plan["steps"]} == {None}
    assert not RecoveryRun.objects.exists()
    operations.carry_out(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
    plan = command(capsys, "rollback", "--level", "standard", "--dry-run")
    assert all(step["estimated_seconds"] > 0 for step in plan["steps"])
    capsys.readouterr()
    call_command("rollback", "--level", "gradual", "--dry-run", "--pace", "0.5")
    assert "promised in 30 min" in (said := capsys.readouterr().out)
    assert "held for 1.5 min" in said


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["rollback", "--level", "standard"], 3, "nobody is there to confirm it; add --no-input"),
        (["rollback", "--level", "standard", "--pace", "2", "--no-input"], 2, "standard holds nowhere"),
        (["rollback", "--level", "gradual", "--pace", "11", "--no-input"], 2, "a pace of 11 is none"),
        (["rollback", "--pause"], 2, "no gradual rollback is under way"),
        (["rollback", "--purge", "9"], 2, "run 9 holds nothing in quarantine"),
        (["restore", "--undo", "--no-input"], 2, "there is no rollback that could be undone"),
        (["restore", "--undo", "--table", "x"], 2, "--undo takes back all of it"),
        (["restore", "--latest", "--no-input"], 2, "there is no snapshot at all"),
        (["rollback", "--level", "standard", "--rehearse"], 2, "there is no snapshot at all"),
    ],
)
def test_what_cannot_be_done_is_one_line(installation: None, args: list[str], code: int, said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        call_command(*args)
    assert refused.value.returncode == code
    assert not RecoveryRun.objects.exists()


def test_each_level_has_its_permission(installation: None, member: Callable[[str], User]) -> None:
    viewer, operator = member("Viewer"), member("Operator")
    for level in (RunKind.EMERGENCY, RunKind.STANDARD, RunKind.GRADUAL):
        with pytest.raises(Refused, match=f"rollout.{level.value}_recoveryrun"):
            operations.roll_back(level, actor=viewer)
    with pytest.raises(Refused):
        operations.undo(actor=viewer)
    with pytest.raises(Refused):
        operations.purge(1, actor=viewer)
    assert operations.carry_out(operations.roll_back(RunKind.STANDARD, actor=operator)).outcome == RunOutcome.DONE
    assert Activation.objects.get(part=Part.POLLING).by == operator.get_username()


def test_two_at_once(installation: None) -> None:
    run = operations.roll_back(RunKind.STANDARD, actor=SYSTEM)
    with runner.held(run):
        with pytest.raises(runner.UnderWay, match="Standard 1 is carried out by"):
            operations.carry_out(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
        for level in (RunKind.EMERGENCY, RunKind.GRADUAL):
            with pytest.raises(runner.UnderWay, match="Standard 1 is under way"):
                operations.roll_back(level, actor=SYSTEM)
    RecoveryRun.objects.update(fence=99)
    with pytest.raises(runner.UnderWay, match="taken up by somebody else"), runner.fenced(run, "rollouts"):
        pass
    assert operations.carry_out(run).outcome == RunOutcome.DONE


def test_an_unverified_level_is_no_success(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.recovery.protect._verify", [])
    with pytest.raises(CommandError, match="verify: ERROR: nobody registered a verification") as failed:
        call_command("rollback", "--level", "standard", "--no-input")
    assert failed.value.returncode == 1
    assert RecoveryRun.objects.get().outcome == RunOutcome.FAILED


def test_lines_go_into_quarantine_and_come_back(installation: None) -> None:
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    PropLine.objects.create(state=state, bookmaker="b", market="points", player="A", side="Over", price=1.9)
    run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    assert not PropLine.objects.exists()
    operations.carry_out(operations.undo(actor=SYSTEM))
    assert PropLine.objects.get().state == state
    assert sql.quoted(run.schema, "a") == f'"quarantine_{run.pk}"."a"'


def test_an_undo_whose_comparison_fails_is_not_repeated(installation: None) -> None:
    """Else what was written meanwhile would take the place of the tables that came back."""
    run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {run.schema}.portfolio_rationales SET narrative = 'another'")
    ProviderState.objects.create(provider_id="stub", sport_id="NBA")
    undone = operations.carry_out(operations.undo(actor=SYSTEM))
    assert undone.outcome == RunOutcome.FAILED
    assert "not as they were: portfolio_rationales" in undone.steps.get(name="compare").evidence["problem"]
    assert ProviderState.objects.count() == 28
    with pytest.raises(WrongInput, match="there is no rollback that could be undone"):
        operations.undoable()


def test_what_is_in_quarantine_stays_within_reach(installation: None) -> None:
    before = contents()
    run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    full()
    operations.carry_out(operations.roll_back(RunKind.GRADUAL, actor=SYSTEM, pace=0.001))
    assert operations.undoable() == run
    operations.carry_out(operations.undo(actor=SYSTEM))
    assert contents() == before


def test_undoing_a_standard_one_leaves_what_was_edited_since(installation: None) -> None:
    operations.carry_out(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
    Provider.objects.create(name="late", adapter="odds_api")
    operations.carry_out(operations.undo(actor=SYSTEM))
    assert Provider.objects.filter(name="late").exists()
    assert CacheEntry.objects.count() == 25


def test_nothing_is_switched_on_in_the_middle_of_it(installation: None) -> None:
    operations.roll_back(RunKind.STANDARD, actor=SYSTEM)
    with pytest.raises(CommandError, match="Standard 1 is under way; finish it"):
        call_command("reactivate")


def test_one_broken_rollout_stops_no_emergency(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    full()
    monkeypatch.setattr(rollouts, "abort", lambda *args, **options: 1 / 0)
    run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    assert (run.outcome, quarantine.is_held(run)) == (RunOutcome.FAILED, True)
    assert "derived-data" in run.steps.get(name="rollouts").evidence["problem"]


def test_a_dry_run_is_of_a_level(installation: None) -> None:
    run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    with pytest.raises(CommandError, match="--dry-run shows the plan of a level"):
        call_command("rollback", "--purge", str(run.pk), "--dry-run", "--no-input")
    assert quarantine.is_held(run)
