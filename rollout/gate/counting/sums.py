"""The sums of many observations.

Equal observations are counted together, with functions of Python that are written in C. That takes less than half of
the time of adding up one after the other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.decisions.latency import LARGEST_BUCKET, bucket_numbers
from rollout.decisions.stages import Arm
from rollout.gate.counting.observation import Observation, StageVisit
from rollout.gate.slots import LATENCY_PREFIX, MICROSECONDS, OWN_PARTS, OWN_PREFIX

LATENCY_FIELDS = [f"{LATENCY_PREFIX}{number}" for number in range(LARGEST_BUCKET + 1)]


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of observations of one arm in one visit.

    numbers: by the name of the count.
    keys: the number of calls by targeting key, and whether they failed.
    """

    rollout: str
    visit: StageVisit
    arm: Arm
    numbers: Mapping[str, float]
    keys: Mapping[tuple[str, bool], int]


def sum_up(observations: Iterable[Observation]) -> list[Sums]:
    """Return the sums of the observations. Raises ValueError if a latency is NaN."""
    groups: dict[tuple[str, int, int], list[Observation]] = defaultdict(list)
    for observation in observations:
        groups[observation[0], id(observation[1]), id(observation[2])].append(observation)
    return [_sum_group(group) for group in groups.values()]


def _sum_group(group: Sequence[Observation]) -> Sums:
    columns: Any = zip(*group, strict=True)
    _, _, _, latencies, are_errors, are_hits, are_same, keys, metrics, are_alone, have_failed = columns
    numbers: dict[str, float] = defaultdict(int)
    numbers[MICROSECONDS] = round(1000 * sum(latencies))
    kinds = zip(bucket_numbers(latencies), are_errors, are_hits, are_same, are_alone, have_failed, strict=True)
    for kind, calls in Counter(kinds).items():
        for name in _names(*kind):
            numbers[name] += calls
    if any(metrics):
        _add_metrics(numbers, metrics)
    calls_by_key = Counter(zip(keys, are_errors, strict=True))
    calls_by_key.pop((None, False), None)
    if failing := calls_by_key.pop((None, True), 0):
        numbers["failing"] += failing
    return Sums(group[0].rollout, group[0].visit, group[0].arm, numbers, calls_by_key)


def _names(
    bucket: int,
    is_error: bool,
    is_hit: bool | None,
    is_same: bool | None,
    is_alone: bool,
    has_compare_failed: bool,
) -> list[str]:
    """Return the counts that such an observation increments."""
    names = ["requests", LATENCY_FIELDS[bucket]]
    if is_error:
        names.append("errors")
    if is_hit is not None:
        names.append("hits" if is_hit else "misses")
    if is_same is not None:
        names.append("compared")
        if not is_same:
            names.append("mismatches")
    if has_compare_failed:
        names.append("uncompared")
    if is_alone:
        names.append("alone")
    return names


def _add_metrics(numbers: dict[str, float], metrics: Iterable[Mapping[str, float | bool] | None]) -> None:
    """Add the application's own metrics: the number of their values, their sum, and the sum of their squares."""
    for values in metrics:
        for metric, value in (values or {}).items():
            for part, number in zip(OWN_PARTS, (1, value, value * value), strict=True):
                numbers[f"{OWN_PREFIX}{metric}:{part}"] += number
