"""The three levels of rollback, each with its undo, on an installation."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, load_command_class
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
from rollout.recovery import operations, protect, runner
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.shape import read_table_shape
from rollout.recovery.rollback import quarantine
from tests.rollout.recovery.conftest import Capture, activate_fully, contents, parts_off, run_command, run_suite
from tests.rollout.recovery.people import member

__all__ = ["member"]


def test_an_emergency_and_its_undo(installation: None, capsys: Capture) -> None:
    activate_fully()
    before = contents()
    done = run_command(capsys, "rollback", "--level", "emergency", "--no-input", "--reason", "wrong odds")
    assert (done["outcome"], done["promised_seconds"], done["level"]) == ("done", 300, "emergency")
    names = ["rollouts", "switch_off", "quarantine", "snapshot", "verify"]
    assert [(step["name"], step["outcome"]) for step in done["steps"]] == [(name, "done") for name in names]
    assert parts_off() == {"polling", "warming", "serving"}
    assert Rollout.objects.get().stage == Stage.DISABLED
    assert not CacheEntry.objects.exists()
    assert not ProviderState.objects.exists()
    found = run_suite(capsys)
    assert {found[name] for name in ("activation_as_left", "stand_ins_whole", "quarantine_unchanged")} == {"PASS"}
    undone = run_command(capsys, "restore", "--undo", "--no-input")
    assert undone["steps"][0]["evidence"]["written_meanwhile"] == {}
    assert contents() == before
    assert parts_off() == {"polling", "warming", "serving"}
    assert set(run_suite(capsys)) == {"no_rollout_past_disabled", "no_trip_pending"}
    assert not quarantine.is_held(RecoveryRun.objects.get(kind=RunKind.EMERGENCY))


def test_stand_ins_have_the_same_shape_and_continue_the_numbering(installation: None) -> None:
    tables = ["portfolio_rationales", "provider_states", "providers_propline", "providers_pricemove"]
    before = {name: read_table_shape(connection, name) for name in tables}
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM provider_states")
        [highest] = cursor.fetchone()
        cursor.execute("GRANT SELECT ON provider_states TO PUBLIC")
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    assert {name: read_table_shape(connection, name) for name in tables} == before
    assert runner.step_evidence(run, "quarantine")["differs"] == []
    assert set(quarantine.tables_of(run)) == set(tables)
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('public', 'provider_states', 'SELECT')")
        assert cursor.fetchone() == (True,)
    made = ProviderState.objects.create(provider_id="stub", sport_id="NBA")
    assert made.pk == highest + 1
    with pytest.raises(IntegrityError), transaction.atomic():
        ProviderState.objects.create(provider_id="stub", sport_id="NBA")


def test_rows_that_were_written_to_stand_ins_are_kept_apart(installation: None, capsys: Capture) -> None:
    before = contents()
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    ProviderState.objects.create(provider_id="stub", sport_id="NBA")
    undone = run_command(capsys, "restore", "--undo", "--no-input")
    assert undone["steps"][0]["evidence"]["written_meanwhile"] == {"provider_states": 1}
    assert contents() == before
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {run.leftover_schema}.provider_states")
        assert cursor.fetchone() == (1,)
    purged = run_command(capsys, "rollback", "--purge", str(run.pk), "--no-input")
    assert [step["name"] for step in purged["steps"]] == ["drop"]
    assert not quarantine.has_purgeable_tables(run)
    assert contents() == before


def test_a_purge_reads_the_snapshot_back_first(installation: None, capsys: Capture) -> None:
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    PropLine.objects.create(state=state, bookmaker="b", market="points", player="A", side="Over", price=1.9)
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    before = contents()
    purged = run_command(capsys, "rollback", "--purge", str(run.pk), "--no-input")
    assert [step["name"] for step in purged["steps"]] == ["snapshot", "read_back", "drop"]
    with pytest.raises(CommandError, match="holds nothing in quarantine"):
        call_command("restore", "--undo", "--no-input")
    with pytest.raises(CommandError, match=f"cannot purge run {run.pk}: it holds nothing in quarantine"):
        call_command("rollback", "--purge", str(run.pk), "--no-input")
    assert contents() == before
    call_command("restore", run.snapshot, "--no-input")
    assert CacheEntry.objects.count() == 25
    assert ProviderState.objects.count() == 28
    assert not PropLine.objects.exists()
    call_command("restore", run.snapshot, "--table", "providers_propline", "--no-input")
    assert PropLine.objects.get().state == state, "a table of logs is restored if it is named"


def test_a_standard_rollback_and_its_undo(installation: None, capsys: Capture) -> None:
    activate_fully()
    CacheEntry.objects.filter(pk=CacheEntry.objects.values("pk")[:1]).update(is_flagged=True)
    ProviderState.objects.filter(provider="stub").update(status="error", consecutive_errors=3, last_error="no")
    ProviderState.objects.filter(provider="fanduel", sport="NBA").update(status="maintenance", total_requests=9)
    ProviderState.objects.filter(provider="betmgm").update(poll_interval_seconds=77, last_fetch_attempt=Now())
    before = contents()
    done = run_command(capsys, "rollback", "--level", "standard", "--no-input")
    assert (done["outcome"], done["promised_seconds"]) == ("done", 900)
    assert [step["name"] for step in done["steps"]] == ["rollouts", "switch_off", "snapshot", "clean_up", "verify"]
    assert done["snapshot"] == Snapshot.objects.get().name
    assert parts_off() == {"polling", "warming"}
    assert not CacheEntry.objects.exists()
    assert set(ProviderState.objects.filter(provider="stub").values_list("status", flat=True)) == {"active"}
    assert ProviderState.objects.get(provider="fanduel", sport="NBA").status == "maintenance"
    assert set(ProviderState.objects.values_list("total_requests", "last_fetch_attempt", "last_error")) == {
        (0, None, "")
    }
    assert set(ProviderState.objects.filter(provider="betmgm").values_list("poll_interval_seconds", flat=True)) == {77}
    assert StatusChange.objects.filter(cause="a standard rollback").count() == 4
    found = run_suite(capsys)
    assert {found[name] for name in ("emptied", "states_at_baseline", "rest_unchanged", "activation_as_left")} == {
        "PASS"
    }
    undone = run_command(capsys, "restore", "--undo", "--no-input")
    tables = undone["steps"][0]["evidence"]["tables"]
    assert (tables["portfolio_rationales"]["added"], tables["provider_states"]["changed"]) == (25, 9)
    assert contents() == before
    call_command("reactivate", "--reason", "over")
    assert parts_off() == set()


def test_a_plan_changes_nothing_and_estimates_from_earlier_runs(installation: None, capsys: Capture) -> None:
    plan = run_command(capsys, "rollback", "--level", "standard", "--dry-run")
    assert {step["estimated_seconds"] for step in plan["steps"]} == {None}
    assert not RecoveryRun.objects.exists()
    operations.execute_run(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
    plan = run_command(capsys, "rollback", "--level", "standard", "--dry-run")
    assert all(step["estimated_seconds"] > 0 for step in plan["steps"])
    capsys.readouterr()
    call_command("rollback", "--level", "gradual", "--dry-run", "--pace", "0.5")
    plan_text = capsys.readouterr().out
    assert "promised in 30 min" in plan_text
    assert "hold for 1.5 min" in plan_text


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["rollback", "--level", "standard"], 3, "cannot ask for confirmation: there is no terminal; add --no-input"),
        (
            ["rollback", "--level", "standard", "--pace", "2", "--no-input"],
            2,
            "only a gradual one has holds; leave --pace out",
        ),
        (
            ["rollback", "--level", "gradual", "--pace", "11", "--no-input"],
            2,
            "pace must be greater than 0 and at most 10 .got 11.",
        ),
        (["rollback", "--pause"], 2, "cannot pause: no gradual rollback is under way"),
        (["rollback", "--purge", "9"], 2, "cannot purge run 9: it holds nothing in quarantine"),
        (["restore", "--undo", "--no-input"], 2, "cannot undo: there is no rollback, or all are undone"),
        (["restore", "--undo", "--table", "x"], 2, "--undo takes back the whole rollback"),
        (["restore", "--latest", "--no-input"], 2, "cannot find a snapshot: none was created yet"),
        (["rollback", "--level", "standard", "--rehearse"], 2, "cannot find a snapshot: none was created yet"),
    ],
)
def test_a_refusal_is_one_line(installation: None, args: list[str], code: int, message: str) -> None:
    with pytest.raises(CommandError, match=message) as refused:
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
    assert operations.execute_run(operations.roll_back(RunKind.STANDARD, actor=operator)).outcome == RunOutcome.DONE
    assert Activation.objects.get(part=Part.POLLING).by == operator.get_username()


def test_only_one_run_is_executed_at_a_time(installation: None) -> None:
    run = operations.roll_back(RunKind.STANDARD, actor=SYSTEM)
    with runner.leased(run):
        with pytest.raises(runner.UnderWay, match=r"cannot execute Standard 1: process .* is executing it"):
            operations.execute_run(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
        for level in (RunKind.EMERGENCY, RunKind.GRADUAL):
            with pytest.raises(
                runner.UnderWay,
                match=r"Standard 1 is under way, begun by system; wait, or finish it: manage\.py rollback",
            ):
                operations.roll_back(level, actor=SYSTEM)
    RecoveryRun.objects.update(fence=99)
    with pytest.raises(runner.UnderWay, match="another process took it over"), runner.finishing(run, "rollouts"):
        pass
    assert operations.execute_run(run).outcome == RunOutcome.DONE


def test_a_level_without_a_verification_is_no_success(installation: None) -> None:
    no_suite = "verify: ERROR: no post-rollback suite is registered"
    with protect.registrations_undone():
        protect.verify_with(None)
        with pytest.raises(CommandError, match=no_suite) as failed:
            call_command("rollback", "--level", "standard", "--no-input")
    assert failed.value.returncode == 1
    assert RecoveryRun.objects.get().outcome == RunOutcome.FAILED


def test_lines_go_into_quarantine_and_come_back(installation: None) -> None:
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    PropLine.objects.create(state=state, bookmaker="b", market="points", player="A", side="Over", price=1.9)
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    assert not PropLine.objects.exists()
    operations.execute_run(operations.undo(actor=SYSTEM))
    assert PropLine.objects.get().state == state
    assert sql.quoted(run.schema, "a") == f'"quarantine_{run.pk}"."a"'


def test_an_undo_whose_comparison_fails_is_not_repeated(installation: None) -> None:
    """A second undo would replace the tables that came back by the stand-ins."""
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {run.schema}.portfolio_rationales SET narrative = 'another'")
    ProviderState.objects.create(provider_id="stub", sport_id="NBA")
    undone = operations.execute_run(operations.undo(actor=SYSTEM))
    assert undone.outcome == RunOutcome.FAILED
    assert (
        "the content of portfolio_rationales differs from snapshot"
        in undone.steps.get(name="compare").evidence["problem"]
    )
    assert ProviderState.objects.count() == 28
    with pytest.raises(WrongInput, match="there is no rollback, or all are undone"):
        operations.find_undoable()


def test_a_gradual_rollback_does_not_hide_a_quarantine(installation: None) -> None:
    before = contents()
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    activate_fully()
    operations.execute_run(operations.roll_back(RunKind.GRADUAL, actor=SYSTEM, pace=0.001))
    assert operations.find_undoable() == run
    operations.execute_run(operations.undo(actor=SYSTEM))
    assert contents() == before


def test_the_undo_of_a_standard_rollback_keeps_later_edits_of_other_tables(installation: None) -> None:
    operations.execute_run(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
    Provider.objects.create(name="late", adapter="odds_api")
    operations.execute_run(operations.undo(actor=SYSTEM))
    assert Provider.objects.filter(name="late").exists()
    assert CacheEntry.objects.count() == 25


def test_no_part_is_switched_on_during_a_rollback(installation: None) -> None:
    operations.roll_back(RunKind.STANDARD, actor=SYSTEM)
    with pytest.raises(
        CommandError,
        match=r"cannot switch parts on: Standard 1 is under way; finish it: manage\.py rollback --level standard",
    ):
        call_command("reactivate")


def test_a_broken_rollout_does_not_stop_an_emergency(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    activate_fully()
    monkeypatch.setattr(rollouts, "abort", lambda *args, **options: 1 / 0)
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    assert (run.outcome, quarantine.is_held(run)) == (RunOutcome.FAILED, True)
    assert "derived-data" in run.steps.get(name="rollouts").evidence["problem"]


def test_a_dry_run_is_of_a_level(installation: None) -> None:
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    with pytest.raises(CommandError, match="--dry-run shows the plan of a level"):
        call_command("rollback", "--purge", str(run.pk), "--dry-run", "--no-input")
    assert quarantine.is_held(run)


@pytest.mark.parametrize(
    ("run", "command"),
    [
        (RecoveryRun(kind=RunKind.STANDARD), "rollback --level standard"),
        (RecoveryRun(kind=RunKind.GRADUAL, pace=0.5), "rollback --level gradual --pace 0.5"),
        (RecoveryRun(kind=RunKind.PURGE, undoes=RecoveryRun(pk=7)), "rollback --purge 7"),
        (RecoveryRun(kind=RunKind.UNDO, undoes=RecoveryRun(pk=7)), "restore --undo"),
        (RecoveryRun(kind=RunKind.RESTORE, snapshot="s-1", table="a_table"), "restore s-1 --table a_table"),
    ],
)
def test_an_interrupted_run_names_the_command_that_resumes_it(run: RecoveryRun, command: str) -> None:
    assert runner.resume_command(run) == f"manage.py {command}"
    name, *words = command.split()
    assert load_command_class("rollout", name).create_parser("manage.py", name).parse_args(words)
