"""The figures of rollouts, the control loop and recovery in /metrics."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.postgres.functions import RandomUUID
from django.db.models.functions import Now
from django.test import Client

from core.access.actors import SYSTEM
from core.redis import client as redis_client
from core.redis import key
from rollout.choices import RunKind, RunOutcome, Stage, Verdict
from rollout.control import loop
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, runtime
from rollout.models import (
    Activation,
    GuardPolicy,
    RecoveryRun,
    Rollout,
    Snapshot,
    StagePolicy,
    Transition,
    VisitEvidence,
)
from rollout.operations import lifecycle, policies
from tests.config.figures import Labels, labels, scrape

pytestmark = pytest.mark.django_db
NAME = "derived-data"


def ones(series: dict[Labels, float], name: str, **of: str) -> list[str]:
    """Return the values of the label `name` whose series is 1, among the series with the other labels."""
    assert set(series.values()) <= {0, 1}
    return [dict(each)[name] for each, value in series.items() if value == 1 and labels(**of) <= each]


def test_the_stage_and_the_run_state_are_state_sets(client: Client, at_stage: Callable[..., None]) -> None:
    policies.create_rollout("new-odds", actor=SYSTEM)
    before = scrape(client)
    at_stage("PARTIAL_ACTIVE", percent=25)
    after = scrape(client)
    for name in ("slipway_rollout_stage", "slipway_rollout_run_state"):
        assert before[name].keys() == after[name].keys(), "a change begins no new series"
    assert ones(after["slipway_rollout_stage"], "stage", rollout=NAME) == ["PARTIAL_ACTIVE"]
    assert ones(after["slipway_rollout_run_state"], "run_state", rollout=NAME) == ["running"]
    assert ones(after["slipway_rollout_stage"], "stage", rollout="new-odds") == ["DISABLED"]
    assert after["slipway_rollout_traffic_ratio"][labels(rollout=NAME)] == 0.25


def test_the_traffic_share_leaves_out_the_keys_held_back(client: Client, at_stage: Callable[..., None]) -> None:
    at_stage("FULL_ACTIVE", percent=100)
    StagePolicy.objects.filter(rollout__name=NAME, stage=Stage.FULL_ACTIVE).update(hold_back_percent=5)
    assert scrape(client)["slipway_rollout_traffic_ratio"][labels(rollout=NAME)] == 0.95


def test_a_tick_exports_each_guard_with_its_limit_and_verdict(client: Client, at_stage: Callable[..., None]) -> None:
    at_stage("FULL_ACTIVE")
    assert "slipway_rollout_guard_verdict" not in scrape(client), "nothing was measured yet"
    for _ in range(60):
        gate(NAME).observe(Arm.CANDIDATE, 20.0, is_hit=True)
    runtime.shared().flush()
    loop.tick()
    exported, p95 = scrape(client), {"rollout": NAME, "guard": "p95_ms"}
    assert exported["slipway_rollout_guard_value"][labels(**p95)] == pytest.approx(20, rel=0.1)
    assert exported["slipway_rollout_guard_limit"][labels(**p95)] == 1000
    assert ones(exported["slipway_rollout_guard_verdict"], "verdict", **p95) == [Verdict.PASS]


def test_a_limit_relative_to_control_is_exported_in_the_unit_of_the_value(
    client: Client, at_stage: Callable[..., None]
) -> None:
    at_stage("PARTIAL_ACTIVE", percent=50)
    rate = {"rollout": NAME, "guard": "error_rate"}
    Activation.objects.filter(part="advancing").update(is_on=False)
    GuardPolicy.objects.filter(guard="error_rate").update(tolerance=2)
    StagePolicy.objects.update(first_requests=1)
    for arm in Arm:
        for number in range(100):
            gate(NAME).observe(arm, 20.0, is_error=number < 4)
        runtime.shared().flush()
        loop.tick()
        limits = scrape(client)["slipway_rollout_guard_limit"]
        assert limits.get(labels(**rate)) == {Arm.CONTROL: None, Arm.CANDIDATE: pytest.approx(0.08)}[arm]
    assert not {"latency", "assignment"} & {dict(each)["guard"] for each in limits}, "no value is their limit"


def test_a_guard_that_measured_nothing_has_no_value(client: Client, at_stage: Callable[..., None]) -> None:
    at_stage("FULL_ACTIVE")
    loop.tick()
    exported, p95 = scrape(client), {"rollout": NAME, "guard": "p95_ms"}
    assert labels(**p95) not in exported["slipway_rollout_guard_value"]
    assert ones(exported["slipway_rollout_guard_verdict"], "verdict", **p95) == [Verdict.INCONCLUSIVE]


@pytest.mark.parametrize("outdated", [{"judged_at": Now() - timedelta(seconds=31)}, {"visit": RandomUUID()}])
def test_a_judgment_of_long_ago_or_of_another_stage_visit_is_no_measurement(
    client: Client, at_stage: Callable[..., None], outdated: dict[str, object]
) -> None:
    at_stage("FULL_ACTIVE")
    loop.tick()
    assert "slipway_rollout_guard_limit" in scrape(client)
    VisitEvidence.objects.update(**outdated)
    assert "slipway_rollout_guard_limit" not in scrape(client)


def test_trips_are_counted(client: Client, at_stage: Callable[..., None]) -> None:
    exported = scrape(client)
    assert exported["slipway_rollout_trips_total"] == {labels(rollout=NAME): 0}
    assert "slipway_rollout_last_trip_timestamp_seconds" not in exported
    for _ in range(2):
        at_stage("FULL_ACTIVE")
        lifecycle.trip(Rollout.objects.get(name=NAME), Stage.DISABLED, [], actor=SYSTEM, reason="errors")
    exported, last = scrape(client), Transition.objects.filter(verb="trip").latest("at")
    assert exported["slipway_rollout_trips_total"] == {labels(rollout=NAME): 2}
    [last_trip] = exported["slipway_rollout_last_trip_timestamp_seconds"].values()
    assert last_trip == pytest.approx(last.at.timestamp(), abs=0.001)


def test_decisions_are_counted_by_arm_over_all_epochs(client: Client, at_stage: Callable[..., None]) -> None:
    for percent in (100, 0):
        at_stage("PARTIAL_ACTIVE", percent=percent)
        for number in range(5):
            gate(NAME).run(f"user-{number}", control=lambda: 1, candidate=lambda: 1)
        gate(NAME).observe(Arm.CANDIDATE, 500.0, is_error=True)
        runtime.shared().flush()
    exported = scrape(client)
    by_arm = {arm: labels(rollout=NAME, arm=arm.value) for arm in Arm}
    assert exported["slipway_rollout_observations_total"] == {by_arm[Arm.CONTROL]: 5, by_arm[Arm.CANDIDATE]: 7}
    assert exported["slipway_rollout_observation_errors_total"][by_arm[Arm.CANDIDATE]] == 2
    assert exported["slipway_rollout_observations_dropped_total"][by_arm[Arm.CANDIDATE]] == 0


def test_the_latencies_of_an_arm_are_a_histogram_in_seconds(client: Client, at_stage: Callable[..., None]) -> None:
    at_stage("FULL_ACTIVE")
    for ms in (0.01, 20.0, 1000.0, 1001.0, 90_000.0):
        gate(NAME).observe(Arm.CANDIDATE, ms)
    runtime.shared().flush()
    exported, arm = scrape(client), {"rollout": NAME, "arm": "candidate"}
    buckets = {
        float(dict(each)["le"]): count
        for each, count in exported["slipway_rollout_latency_seconds_bucket"].items()
        if labels(**arm) <= each
    }
    assert [buckets[bound] for bound in sorted(buckets)] == sorted(buckets.values()), "they are cumulative"
    assert (buckets[min(buckets)], buckets[1.0], max(buckets), buckets[max(buckets)]) == (1, 3, float("inf"), 5)
    assert exported["slipway_rollout_latency_seconds_count"][labels(**arm)] == 5
    assert exported["slipway_rollout_latency_seconds_sum"][labels(**arm)] == pytest.approx(92.02101)


def test_a_part_that_is_switched_off_is_0(client: Client) -> None:
    Activation.objects.filter(part="polling").update(is_on=False)
    parts = scrape(client)["slipway_part_on"]
    assert parts == {labels(part=part): part != "polling" for part in ("polling", "warming", "serving", "advancing")}


def test_the_heartbeat_is_the_time_of_the_last_tick_even_after_it_faded(client: Client) -> None:
    name = "slipway_control_loop_heartbeat_timestamp_seconds"
    assert name not in scrape(client)
    heartbeat.beat()
    redis_client().delete(key("heartbeat"))
    assert scrape(client)[name][labels()] == pytest.approx(time.time(), abs=60)


def test_only_a_snapshot_that_was_read_back_undamaged_counts(client: Client) -> None:
    made = {"host": "h", "folder": "/f", "made_by": "system", "tables": 1, "rows": 1, "size_bytes": 1, "seconds": 1.0}
    Snapshot.objects.create(name="not-read-back", **made)
    Snapshot.objects.create(name="damaged", verified_at=Now(), problem="a file is short", **made)
    name = "slipway_snapshot_last_success_timestamp_seconds"
    assert name not in scrape(client)
    good = Snapshot.objects.create(name="good", verified_at=Now(), created_at=Now() - timedelta(days=2), **made)
    good.refresh_from_db()
    assert scrape(client)[name][labels()] == pytest.approx(good.created_at.timestamp())


def rehearse(kind: str, outcome: str, *, seconds: int, ago: timedelta, is_rehearsal: bool = True) -> None:
    RecoveryRun.objects.create(
        kind=kind,
        outcome=outcome,
        actor="system",
        is_rehearsal=is_rehearsal,
        promised_seconds=60,
        started_at=Now() - ago - timedelta(seconds=seconds),
        ended_at=Now() - ago,
    )


def test_only_a_rehearsal_that_kept_its_promise_counts(client: Client) -> None:
    day = timedelta(days=1)
    rehearse(RunKind.EMERGENCY, RunOutcome.DONE, seconds=50, ago=20 * day)
    rehearse(RunKind.EMERGENCY, RunOutcome.DONE, seconds=50, ago=10 * day)
    rehearse(RunKind.EMERGENCY, RunOutcome.DONE, seconds=70, ago=5 * day)
    rehearse(RunKind.EMERGENCY, RunOutcome.FAILED, seconds=5, ago=4 * day)
    rehearse(RunKind.EMERGENCY, RunOutcome.DONE, seconds=5, ago=3 * day, is_rehearsal=False)
    rehearse(RunKind.STANDARD, RunOutcome.FAILED, seconds=5, ago=day)
    rehearsed = scrape(client)["slipway_rehearsal_last_success_timestamp_seconds"]
    assert rehearsed.keys() == {labels(level="emergency")}
    assert rehearsed[labels(level="emergency")] == pytest.approx(time.time() - 10 * 86400, abs=3600)
