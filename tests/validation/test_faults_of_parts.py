"""The faults that the extended and the post-rollback suite find."""

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db.models.functions import Now
from pytest_django import Settings

from caching.tiers.entries import ENTRIES
from core.health_checks import Suite, checks
from core.redis import client, key
from rollout.gate import runtime
from rollout.gate.marks import trip_key
from rollout.models import RecoveryRun, Rollout, Snapshot
from tests.validation.test_faults import execute, failures
from validation.checks.extended import EXAMPLE_TOKEN
from validation.runner import run_checks


def hold_another_value() -> None:
    """Put a value into this process's tier that PostgreSQL does not hold."""
    name = "factor:nba:model"
    record = ENTRIES.get(name).record
    ENTRIES.memory.put(name, record._replace(data=b"{}"), record.gone_at, ENTRIES.memory.generation(name))


@pytest.mark.parametrize(
    ("key", "tokens"), [("replace-me-with-fifty", {"x": "x"}), ("good", {}), ("good", {EXAMPLE_TOKEN: "c"})]
)
def test_missing_and_example_secrets_fail(
    installation: None, settings: Settings, key: str, tokens: dict[str, str]
) -> None:
    settings.SECRET_KEY, settings.API_TOKENS = key, tokens
    assert set(failures(Suite.EXTENDED)) == {"secrets_set"}


def no_redis(settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    client.cache_clear()


EXTENDED: list[tuple[Callable[[], object], set[str]]] = [
    (lambda: client().delete(key("heartbeat")), {"beat_alive"}),
    (lambda: client().rpush(key("polls"), *range(101)), {"queues_are_short"}),
    (
        lambda: execute(
            "UPDATE providers_pollslot SET lease_until = now() - interval '2 h', next_poll_at = now() - interval '3 h'"
            " WHERE sport = 'NBA'"
        ),
        {"no_lease_left_over"},
    ),
    (
        lambda: execute("UPDATE providers_pollslot SET lease_until = now() - interval '2 h', next_poll_at = NULL"),
        set(),  # no enabled provider state needs these slots
    ),
    (hold_another_value, {"tiers_agree"}),
    (lambda: execute("UPDATE rollout_rollout SET epoch = 3, stage = 'DARK_MODE'"), {"rollout_history_whole"}),
    (
        lambda: execute(
            "INSERT INTO rollout_transition (rollout_id, epoch, verb, from_stage, to_stage, percent, run_state, pace,"
            " actor, reason, evidence) SELECT id, e, 'start', 'DISABLED', 'DARK_MODE', 0, 'running', 1, 'a', '', '[]'"
            " FROM rollout_rollout, unnest(ARRAY[1, 3]) e"
        ),
        {"rollout_history_whole"},
    ),
    (
        lambda: execute(
            "UPDATE portfolio_rationales SET data_json = regexp_replace(data_json, '\"n\":\\d', '\"n\":9', 'g')"
            " || repeat(' ', 1), updated_at = updated_at"
        ),
        {"entries_recomputed"},
    ),
    (
        lambda: execute("INSERT INTO validation_validationrun (started_at) VALUES (now() - interval '25 min')"),
        {"validation_runs_on_time"},
    ),
]


@pytest.mark.parametrize(("fault", "expected"), EXTENDED)
def test_a_fault_of_a_part_fails_its_check(installation: None, fault: Callable[[], object], expected: set[str]) -> None:
    fault()
    assert set(failures(Suite.EXTENDED)) == expected


def test_without_redis_only_the_heartbeat_fails(installation: None, settings: Settings) -> None:
    address = settings.REDIS_URL
    no_redis(settings)
    try:
        assert set(failures(Suite.EXTENDED)) == {"beat_alive"}
        assert failures() == {}
    finally:
        settings.REDIS_URL = address
        client.cache_clear()


def test_a_clock_that_is_60_s_ahead_fails(installation: None) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=60), tick=True):
        assert set(failures(Suite.EXTENDED)) == {"clocks_agree"}


def test_the_clock_of_another_process_fails(installation: None) -> None:
    now = client().time()[0]
    client().hset(key("clocks"), mapping={"web-2:17": f"-2.5 {now}", "web-3:9": f"70 {now - 61}"})
    assert "web-2:17 is -2.5 s off" in failures(Suite.EXTENDED)["clocks_agree"]
    assert "web-3" not in failures(Suite.EXTENDED)["clocks_agree"]
    client().hdel(key("clocks"), "web-2:17")
    runtime.shared().states.refresh()
    assert failures(Suite.EXTENDED) == {}
    assert f"{socket.gethostname()}:{os.getpid()}".encode() in client().hkeys(key("clocks"))


def test_an_active_rollout_and_a_pending_trip_fail_after_a_rollback(installation: None) -> None:
    execute("UPDATE rollout_rollout SET stage = 'FULL_ACTIVE', run_state = 'running', percent = 100, epoch = 7")
    assert set(failures(Suite.POST_ROLLBACK)) == {"no_rollout_past_disabled"}
    client().set(trip_key(Rollout.objects.get(name="derived-data").attempt.hex), "7:6")
    assert set(failures(Suite.POST_ROLLBACK)) == {"no_rollout_past_disabled", "no_trip_pending"}


def results() -> dict[str, str]:
    """Run the checks of the category recovery. Return the result and the message of each, by its id."""
    outcomes = run_checks(checks(Suite.EXTENDED, "recovery")).outcomes
    return {outcome.check.id: f"{outcome.finding.result.value} {outcome.finding.message}" for outcome in outcomes}


def test_the_newest_snapshot_must_be_recent_and_read_back(installation: None) -> None:
    assert results()["snapshot_recent"] == "WARN no snapshot exists"
    made = {"name": "a", "host": "h", "folder": "f", "tables": 1, "rows": 1, "size_bytes": 1, "seconds": 1.0}
    snapshot = Snapshot.objects.create(**made)
    assert results()["snapshot_recent"] == "WARN a: it was not read back"
    Snapshot.objects.update(verified_at=Now())
    assert results()["snapshot_recent"] == "PASS a is recent and complete"
    Snapshot.objects.update(created_at=Now() - timedelta(days=3))
    assert results()["snapshot_recent"] == "FAIL a: it is 3 days old"
    Snapshot.objects.filter(pk=snapshot.pk).update(problem="it was cut", created_at=Now())
    assert results()["snapshot_recent"] == "FAIL a: it was cut"


def test_each_level_needs_a_good_rehearsal(installation: None) -> None:
    assert results()["levels_rehearsed"] == "WARN 3 levels lack a good rehearsal"
    done = {"outcome": "done", "is_rehearsal": True, "actor": "a", "ended_at": Now(), "promised_seconds": 900}
    for level in ("emergency", "standard", "gradual"):
        RecoveryRun.objects.create(kind=level, **done)
    assert results()["levels_rehearsed"] == "PASS every level was rehearsed"
    RecoveryRun.objects.filter(kind="standard").update(outcome="failed")
    old = Now() - timedelta(days=31)
    RecoveryRun.objects.filter(kind="gradual").update(started_at=old, ended_at=old)
    assert results()["levels_rehearsed"] == "WARN 2 levels lack a good rehearsal"
