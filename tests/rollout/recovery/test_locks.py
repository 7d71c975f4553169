"""Sessions that hold the tables of a rollback, and clients that read and write during one."""

import threading

import psycopg
import pytest
from django.db import Error, connection

from caching.models import CacheEntry
from core.access.actors import SYSTEM
from core.errors import Refused
from providers.models import ProviderState
from rollout.choices import RunKind, RunOutcome
from rollout.models import Activation, RecoveryRun, RecoveryStep, Snapshot
from rollout.recovery import operations, runner
from rollout.recovery.postgres import locks
from rollout.recovery.postgres.locks import BlockedBySessions
from tests.rollout.recovery.conftest import contents, session


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(locks, "AFTERWARDS_SECONDS", 1.0)


def test_a_session_of_the_own_role_is_ended(installation: None) -> None:
    before = contents()
    with pytest.raises(psycopg.OperationalError), session() as other:
        other.execute("SELECT count(*) FROM portfolio_rationales")  # its transaction stays open
        run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
        assert run.outcome == RunOutcome.DONE
        [ended] = runner.step_evidence(run, "quarantine")["ended_sessions"]
        assert (ended["application"], ended["pid"]) == ("a report", other.info.backend_pid)
        other.execute("SELECT 1")
    operations.execute_run(operations.undo(actor=SYSTEM))
    assert contents() == before


def test_a_session_that_may_not_be_ended_is_named_and_the_parts_are_off(
    installation: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "end_sessions", lambda blockers: [])  # as if they belonged to another role
    before = contents()
    with session() as other:
        other.execute("SELECT count(*) FROM provider_states")
        with pytest.raises(BlockedBySessions, match=f"may not be ended: {other.info.backend_pid} .a report") as refused:
            operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
        assert refused.value.exit_code == 3
    assert Activation.objects.switched_off().count() == 3
    assert RecoveryRun.objects.get().outcome == RunOutcome.FAILED
    assert contents() == before
    assert operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM)).outcome == RunOutcome.DONE


def test_a_standard_rollback_ends_no_session(installation: None) -> None:
    before = contents()
    with session() as other:
        other.execute("UPDATE provider_states SET status = 'error'")
        with pytest.raises(BlockedBySessions, match=str(other.info.backend_pid)):
            operations.execute_run(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
        other.rollback()
    assert contents() == before


def test_a_running_migration_is_ended(installation: None) -> None:
    """A migration holds the tables that it alters until it commits."""
    with pytest.raises(psycopg.OperationalError), session() as other:
        other.execute("ALTER TABLE portfolio_rationales ADD COLUMN more text")
        run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
        assert runner.step_evidence(run, "quarantine")["ended_sessions"]
        other.commit()
    assert "differs" in runner.step_evidence(RecoveryRun.objects.get(), "quarantine")


def test_tables_are_not_put_back_after_a_migration_changed_them(installation: None) -> None:
    operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE portfolio_rationales ADD COLUMN more text")
    with pytest.raises(Refused, match=r"a later migration changed portfolio_rationales: more; run: manage.py restore "):
        operations.execute_run(operations.undo(actor=SYSTEM))


def test_clients_at_full_speed_see_no_error(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients read and write during a quarantine, its undo, and both once more."""
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 10.0)
    failed: list[str] = []
    over, asked = threading.Event(), [0]

    def use() -> None:
        while not over.is_set():
            try:
                list(CacheEntry.objects.all()[:3])
                ProviderState.objects.filter(provider="stub", sport="NBA").update(last_prop_count=7)
                asked[0] += 1
            except Error as error:
                failed.append(str(error))
        connection.close()

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            assert (
                operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM)).outcome == RunOutcome.DONE
            )
            assert operations.execute_run(operations.undo(actor=SYSTEM)).outcome == RunOutcome.DONE
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert asked[0] > 10


def test_a_standard_rollback_takes_another_snapshot_if_rows_change_after_the_first(installation: None) -> None:
    """The second snapshot is taken while no other session can write."""

    def write_after_the_snapshot(step: RecoveryStep) -> None:
        if step.name == "snapshot":
            ProviderState.objects.filter(provider="stub").update(poll_interval_seconds=99)

    run = operations.roll_back(RunKind.STANDARD, actor=SYSTEM)
    run = operations.execute_run(run, progress=write_after_the_snapshot)
    taken = [snapshot.name for snapshot in Snapshot.objects.order_by("pk")]
    assert (run.outcome, run.snapshot, len(taken)) == (RunOutcome.DONE, taken[-1], 2)
    operations.execute_run(operations.undo(actor=SYSTEM))
    assert set(ProviderState.objects.filter(provider="stub").values_list("poll_interval_seconds", flat=True)) == {99}
