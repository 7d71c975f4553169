"""The figures of rollouts, the control loop and recovery for Prometheus. A figure that was not measured is absent."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from django.db.models import Count, F, Max
from django.db.models.functions import Now
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core.switches import Activation
from rollout.choices import RunState, Stage, Verdict
from rollout.decisions.guards import limit_as_value
from rollout.decisions.latency import LARGEST_BUCKET, bound_ms
from rollout.gate import heartbeat
from rollout.gate.slots import read_totals
from rollout.models import RecoveryRun, Rollout, Snapshot, Transition, VisitEvidence

# A guard is read at each tick. An older reading is not a present measurement.
READING_VALID = timedelta(seconds=heartbeat.FADES_AFTER_SECONDS)
# Every eighth bucket of rollout.decisions.latency: bounds from 0.05 ms to 45 s, each about twice the one before. 1 s,
# the default limit of the 95th percentile, is one of them.
BOUNDS = range(0, LARGEST_BUCKET, 8)


class RolloutCollector(Collector):
    """The collector of what the tables contain about rollouts."""

    def collect(self) -> Iterator[Metric]:
        stages = GaugeMetricFamily("slipway_rollout_stage", "1 for the stage, else 0.", labels=["rollout", "stage"])
        run_states = GaugeMetricFamily(
            "slipway_rollout_run_state", "1 for the run state, else 0.", labels=["rollout", "run_state"]
        )
        shares = GaugeMetricFamily(
            "slipway_rollout_traffic_ratio", "Share of the traffic that the candidate serves.", labels=["rollout"]
        )
        entered = GaugeMetricFamily(
            "slipway_rollout_stage_entered_timestamp_seconds", "The start of the stage visit.", labels=["rollout"]
        )
        trips = CounterMetricFamily("slipway_rollout_trips", "Trips.", labels=["rollout"])
        last_trips = GaugeMetricFamily(
            "slipway_rollout_last_trip_timestamp_seconds", "The last trip of the rollout.", labels=["rollout"]
        )
        tripped = Transition.objects.filter(verb="trip").values_list("rollout").annotate(Count("pk"), Max("at"))
        trips_by_rollout = {rollout: (count, last) for rollout, count, last in tripped}
        for rollout in Rollout.objects.listed().prefetch_related("policies").order_by("name"):
            for stage in Stage:
                stages.add_metric([rollout.name, stage], stage == rollout.stage)
            for run_state in RunState:
                run_states.add_metric([rollout.name, run_state], run_state == rollout.run_state)
            shares.add_metric([rollout.name], rollout.served_percent / 100)
            entered.add_metric([rollout.name], rollout.stage_entered_at.timestamp())
            count, last_trip = trips_by_rollout.get(rollout.pk, (0, None))
            trips.add_metric([rollout.name], count)
            if last_trip:
                last_trips.add_metric([rollout.name], last_trip.timestamp())
        yield from (stages, run_states, shares, entered, trips, last_trips, *_guard_families(), _parts())


def _guard_families() -> tuple[Metric, ...]:
    """Return the newest judgment of each guard in the present stage visit."""
    labels = ["rollout", "guard"]
    values = GaugeMetricFamily(
        "slipway_rollout_guard_value", "What the guard measured, in the guard's own unit.", labels=labels
    )
    limits = GaugeMetricFamily(
        "slipway_rollout_guard_limit",
        "The guard's limit, in the unit of the value.",
        labels=labels,
    )
    verdicts = GaugeMetricFamily(
        "slipway_rollout_guard_verdict", "1 for the guard's verdict, else 0.", labels=[*labels, "verdict"]
    )
    present = VisitEvidence.objects.filter(judged_at__gt=Now() - READING_VALID, visit=F("rollout__visit"))
    for evidence in present.select_related("rollout").order_by("rollout__name"):
        for judgment in evidence.decoded().judgments:
            names = [evidence.rollout.name, judgment.name]
            if judgment.value is not None:
                values.add_metric(names, judgment.value)
            limit = limit_as_value(judgment.guard, judgment.limit_value, judgment.control)
            if limit is not None:
                limits.add_metric(names, limit)
            for verdict in Verdict:
                verdicts.add_metric([*names, verdict], verdict == judgment.verdict)
    return values, limits, verdicts


def _parts() -> Metric:
    parts = GaugeMetricFamily("slipway_part_on", "1 if this part is switched on, else 0.", labels=["part"])
    for row in Activation.objects.order_by("part"):
        parts.add_metric([row.part], row.is_on)
    return parts


class ObservationCollector(Collector):
    """The collector of what all processes counted of the arms. They send their counts to Redis every second."""

    def collect(self) -> Iterator[Metric]:
        labels = ["rollout", "arm"]
        observations = CounterMetricFamily(
            "slipway_rollout_observations",
            "Decisions by arm: its calls, and the candidate's probes and shadow runs.",
            labels=labels,
        )
        errors = CounterMetricFamily(
            "slipway_rollout_observation_errors", "Observations that ended with an error.", labels=labels
        )
        dropped = CounterMetricFamily(
            "slipway_rollout_observations_dropped", "Observations that could not be used.", labels=labels
        )
        latencies = HistogramMetricFamily("slipway_rollout_latency_seconds", "Latency of an arm.", labels=labels)
        rollouts = Rollout.objects.listed().order_by("name").values_list("name", flat=True)
        for (rollout, arm), totals in read_totals(rollouts).items():
            names = [rollout, arm.value]
            observations.add_metric(names, totals.counts.requests)
            errors.add_metric(names, totals.counts.errors)
            dropped.add_metric(names, totals.counts.dropped)
            latencies.add_metric(names, _cumulated(totals.counts.latencies), totals.latency_seconds)
        yield from (observations, errors, dropped, latencies)


def _cumulated(latencies: Mapping[int, int]) -> list[tuple[str, float]]:
    """Return the buckets of a histogram: each bound in seconds, and how many latencies it and lower ones hold."""
    buckets = []
    for bound in BOUNDS:
        counted = sum(count for number, count in latencies.items() if number <= bound)
        buckets.append((str(round(bound_ms(bound) / 1000, 12)), float(counted)))
    return [*buckets, ("+Inf", float(sum(latencies.values())))]


class LoopCollector(Collector):
    """The collector of the control loop's heartbeat."""

    def collect(self) -> Iterator[Metric]:
        ticked_at = GaugeMetricFamily(
            "slipway_control_loop_heartbeat_timestamp_seconds", "The last tick, in Unix time; absent before the first."
        )
        last_beat = heartbeat.last_beat_at()
        if last_beat is not None:
            ticked_at.add_metric([], last_beat)
        yield ticked_at


class RecoveryCollector(Collector):
    """The collector of how old what a recovery needs is."""

    def collect(self) -> Iterator[Metric]:
        snapshots = GaugeMetricFamily(
            "slipway_snapshot_last_success_timestamp_seconds",
            "When the newest snapshot was taken that was read back undamaged, in Unix time.",
        )
        good = Snapshot.objects.filter(verified_at__isnull=False, problem="").first()
        if good is not None:
            snapshots.add_metric([], good.created_at.timestamp())
        rehearsals = GaugeMetricFamily(
            "slipway_rehearsal_last_success_timestamp_seconds",
            "The end of the newest rehearsal that kept its level's promise, in Unix time.",
            labels=["level"],
        )
        for level, ended_at in RecoveryRun.objects.last_good_rehearsals().items():
            rehearsals.add_metric([level], ended_at.timestamp())
        yield from (snapshots, rehearsals)
