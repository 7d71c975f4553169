"""Sessions in the way of a rollback, and writers at full speed beside it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import Error, connection

from caching.models import CacheEntry
from core.access.actors import SYSTEM
from core.errors import Refused
from providers.models import ProviderState
from rollout.choices import RunKind, RunOutcome
from rollout.models import Activation, RecoveryRun
from rollout.recovery import operations, runner
from rollout.recovery.postgres import locks
from rollout.recovery.postgres.locks import InTheWay
from tests.rollout.recovery.conftest import contents


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(locks, "AFTERWARDS_SECONDS", 1.0)


@contextmanager
def session(user: str = "") -> Iterator[psycopg.Connection]:
    params = connection.get_connection_params()
    wanted = {key: params[key] for key in ("dbname", "user", "password", "host", "port") if key in params}
    with psycopg.connect(**wanted | ({"user": user} if user else {}), application_name="a report") as other:
        yield other


def test_a_long_query_of_its_own_role_is_ended(installation: None) -> None:
    before = contents()
    with pytest.raises(psycopg.OperationalError), session() as other:
        other.execute("SELECT count(*) FROM portfolio_rationales")  # and its transaction stays open
        run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
        assert run.outcome == RunOutcome.DONE
        [ended] = runner.evidence(run, "quarantine")["ended_sessions"]
        assert (ended["application"], ended["pid"]) == ("a report", other.info.backend_pid)
        other.execute("SELECT 1")
    operations.carry_out(operations.undo(actor=SYSTEM))
    assert contents() == before


def test_one_that_may_not_be_ended_is_named_and_the_parts_are_off(
    installation: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_end", lambda blockers: [])  # as of another role
    before = contents()
    with session() as other:
        other.execute("SELECT count(*) FROM provider_states")
        with pytest.raises(InTheWay, match=f"may not be ended: {other.info.backend_pid} .a report") as refused:
            operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
        assert refused.value.exit_code == 3
    assert Activation.objects.switched_off().count() == 3
    assert RecoveryRun.objects.get().outcome == RunOutcome.FAILED
    assert contents() == before
    assert operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM)).outcome == RunOutcome.DONE


def test_standard_ends_nobodys_session(installation: None) -> None:
    before = contents()
    with session() as other:
        other.execute("UPDATE provider_states SET status = 'error'")
        with pytest.raises(InTheWay, match=str(other.info.backend_pid)):
            operations.carry_out(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
        other.rollback()
    assert contents() == before


def test_a_migration_that_runs_is_in_the_way(installation: None) -> None:
    """It holds what it alters until it is committed."""
    with pytest.raises(psycopg.OperationalError), session() as other:
        other.execute("ALTER TABLE portfolio_rationales ADD COLUMN more text")
        run = operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
        assert runner.evidence(run, "quarantine")["ended_sessions"]
        other.commit()
    assert "differs" in runner.evidence(RecoveryRun.objects.get(), "quarantine")


def test_tables_that_a_migration_changed_are_not_put_back(installation: None) -> None:
    operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE portfolio_rationales ADD COLUMN more text")
    with pytest.raises(Refused, match=r"came in between: portfolio_rationales: more; restore .* instead"):
        operations.carry_out(operations.undo(actor=SYSTEM))


def test_clients_at_full_speed_see_no_error(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All the while: quarantine, its undo, and once more."""
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
                operations.carry_out(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM)).outcome == RunOutcome.DONE
            )
            assert operations.carry_out(operations.undo(actor=SYSTEM)).outcome == RunOutcome.DONE
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert asked[0] > 10


def test_standard_where_somebody_keeps_writing_takes_its_snapshot_while_nobody_can(
    installation: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rollout.recovery.rollback import levels

    real, made = levels.take_snapshot, list[str]()

    def write_afterwards(run: RecoveryRun) -> dict[str, object]:
        found = real(run)
        if not made:
            ProviderState.objects.filter(provider="stub").update(poll_interval_seconds=99)
        made.append(run.snapshot)
        return found

    steps = list(levels.STEPS[RunKind.STANDARD])
    steps[2] = runner.Step("snapshot", "", write_afterwards)
    monkeypatch.setitem(levels.STEPS, RunKind.STANDARD, tuple(steps))
    monkeypatch.setattr(levels, "take_snapshot", write_afterwards)
    run = operations.carry_out(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
    assert (run.outcome, run.snapshot, len(made)) == (RunOutcome.DONE, made[-1], 2)
    operations.carry_out(operations.undo(actor=SYSTEM))
    assert set(ProviderState.objects.filter(provider="stub").values_list("poll_interval_seconds", flat=True)) == {99}
