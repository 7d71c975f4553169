"""Counts of the arms: added up over processes and epochs, kept while Redis is gone, and what trips."""

from threading import Thread

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checks
from hypothesis import strategies as st
from pytest_django import Settings
from redis import TimeoutError

from core.redis import client, key
from rollout.decisions.guards import Counts
from rollout.decisions.latency import bucket
from rollout.decisions.stages import Arm
from rollout.gate import counters
from rollout.gate.counters import Metrics, Observed, Visit, fell, read

VISIT = Visit(epoch=5, first_epoch=4, errors_at_most=5)
GOOD = Observed("r", 5, Arm.CANDIDATE, 20.0, is_hit=True)
BAD = GOOD._replace(is_error=True, is_hit=False)


def counting(visit: Visit | None = VISIT) -> Metrics:
    return Metrics(lambda name: visit)


def observe(of: Metrics, *observed: Observed) -> bool:
    for one in observed:
        of.observe(one)
    return of.flush()


def test_what_several_processes_count_is_added_up() -> None:
    for of in (counting(), counting()):
        assert observe(of, GOOD, GOOD._replace(is_same=False), BAD, GOOD._replace(ms=900, is_same=True))
    assert read("r", Arm.CANDIDATE, VISIT) == Counts(
        requests=8, errors=2, hits=6, misses=2, compared=4, mismatches=2, latencies={bucket(20): 6, bucket(900): 2}
    )
    assert read("r", Arm.CONTROL, VISIT) == read("other", Arm.CANDIDATE, VISIT) == Counts()


def test_a_stage_visit_is_the_sum_of_its_epochs() -> None:
    for epoch in (3, 4, 5):
        observe(counting(), GOOD._replace(epoch=epoch))
    assert read("r", Arm.CANDIDATE, VISIT).requests == 2


def test_a_window_forgets() -> None:
    windowed = Visit(epoch=5, first_epoch=4, window_seconds=600)
    observe(counting(windowed), GOOD, BAD)
    assert read("r", Arm.CANDIDATE, windowed).requests == 2
    for name in client().scan_iter(key("metrics-slot:*")):  # an hour passes
        prefix, _, slot = name.decode().rpartition(":")
        client().rename(name, f"{prefix}:{int(slot) - 360}")
    assert read("r", Arm.CANDIDATE, windowed) == Counts()


def test_the_sixth_error_trips_whoever_sends_it_and_is_told() -> None:
    line = client().pubsub()  # type: ignore[no-untyped-call]
    line.subscribe(key("rollouts"))
    assert line.get_message(timeout=1)["type"] == "subscribe"
    one, other = counting(), counting()
    observe(one, BAD, BAD, BAD)
    observe(other, BAD._replace(epoch=4), BAD)
    assert fell("r", 5) == 0
    observe(other, BAD)
    assert (fell("r", 0), fell("r", 5), fell("r", 6)) == (6, 6, 0)  # until a later epoch settles it
    observe(one, BAD)
    assert fell("r", 5) == 6  # what it fell on stays
    assert line.get_message(timeout=1)["data"] == key("trip:r").encode()
    assert line.get_message(timeout=0.05) is None
    line.close()


@pytest.mark.parametrize("visit", [None, Visit(5, 4), Visit(5, 4, errors_at_most=100)])
def test_without_a_limit_nothing_trips(visit: Visit | None) -> None:
    observe(counting(visit), *[BAD] * 20)
    assert fell("r", 5) == 0


def test_while_the_relative_guard_judges_the_count_trips_nothing() -> None:
    """In any epoch of the visit: finishing or pausing is no reason to fall."""
    counters.let_relative_judge("r", VISIT.first_epoch)
    observe(counting(), *[BAD] * 20)
    observe(counting(Visit(6, 4, errors_at_most=5)), BAD._replace(epoch=6))
    assert fell("r", 0) == 0
    client().delete(key("relative:r:4"))
    observe(counting(), BAD)
    assert fell("r", 0) == 21


def test_controls_errors_trip_nothing() -> None:
    observe(counting(), *[BAD._replace(arm=Arm.CONTROL)] * 20)
    assert fell("r", 5) == 0


def test_errors_of_long_ago_trip_nothing_in_a_window() -> None:
    windowed = Visit(epoch=5, first_epoch=4, errors_at_most=5, window_seconds=600)
    observe(counting(windowed), *[BAD] * 5)
    for name in client().scan_iter(key("metrics-slot:*")):
        prefix, _, slot = name.decode().rpartition(":")
        client().rename(name, f"{prefix}:{int(slot) - 360}")
    observe(counting(windowed), *[BAD] * 5)
    assert fell("r", 5) == 0
    observe(counting(windowed), BAD)
    assert fell("r", 5) == 6


def test_an_error_does_not_wait_for_its_second() -> None:
    of = counting()
    of.observe(GOOD)
    assert not of.wake.is_set()
    of.observe(BAD)
    assert of.wake.is_set()


def test_without_redis_counts_are_kept_up_to_a_bound_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    of, there = counting(), settings.REDIS_URL
    monkeypatch.setattr(counters, "KEPT_AT_MOST", 3)
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    client.cache_clear()
    assert observe(of, GOOD, GOOD) is False
    assert observe(of, GOOD, GOOD, GOOD) is False
    settings.REDIS_URL = there
    client.cache_clear()
    for _ in range(2):
        assert of.flush() is True
        found = read("r", Arm.CANDIDATE, VISIT)
        assert (found.requests, found.dropped) == (3, 2)


def test_what_arrived_without_an_answer_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    of, real = counting(), client().eval

    def no_answer(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        raise TimeoutError

    monkeypatch.setattr(client(), "eval", no_answer)
    assert observe(of, BAD, GOOD) is False
    monkeypatch.undo()
    assert observe(of, GOOD) is True
    assert (read("r", Arm.CANDIDATE, VISIT).requests, read("r", Arm.CANDIDATE, VISIT).errors) == (3, 1)


def test_a_new_visit_begins_with_an_empty_window() -> None:
    before = Visit(epoch=5, first_epoch=4, errors_at_most=5, window_seconds=600)
    after = Visit(epoch=6, first_epoch=6, errors_at_most=5, window_seconds=600)
    observe(counting(before), *[BAD] * 5)
    of = counting(after)
    observe(of, BAD._replace(epoch=6), BAD)  # the second is late
    assert read("r", Arm.CANDIDATE, after).errors == 1
    assert fell("r", 6) == 0


@checks(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.booleans(), max_size=30))
def test_nothing_is_lost_between_threads(errors: list[bool]) -> None:
    for name in client().scan_iter(key("*")):
        client().delete(name)
    of = counting(None)
    threads = [
        Thread(target=observe, args=(of, *(GOOD._replace(is_error=error) for error in errors))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    of.flush()
    found = read("r", Arm.CANDIDATE, VISIT)
    assert (found.requests, found.errors) == (3 * len(errors), 3 * sum(errors))
