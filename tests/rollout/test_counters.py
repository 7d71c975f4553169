"""The counts of the arms: added up over processes and epochs, kept while Redis is down; and what trips a rollout."""

from threading import Thread

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings
from redis import TimeoutError

from core.redis import client, key
from rollout.decisions.guards import Counts
from rollout.decisions.latency import bucket_number
from rollout.decisions.stages import Arm
from rollout.gate import counters
from rollout.gate.counters import Counters, Observation, StageVisit, read_counts
from rollout.gate.marks import defer_to_relative_guard, read_trip_errors
from tests.rollout.outages import no_redis

VISIT = StageVisit(epoch=5, first_epoch=4, errors_at_most=5)
WINDOWED = StageVisit(epoch=5, first_epoch=4, window_seconds=600)
GOOD = Observation("r", 5, Arm.CANDIDATE, 20.0, is_hit=True)
BAD = GOOD._replace(is_error=True, is_hit=False)


def process(visit: StageVisit | None = VISIT) -> Counters:
    """Return the counters of one process that knows this stage visit."""
    return Counters(lambda name: visit)


def count(counters: Counters, *observations: Observation) -> bool:
    for observation in observations:
        counters.observe(observation)
    return counters.flush()


def let_an_hour_pass() -> None:
    for name in client().scan_iter(key("metrics-slot:*")):
        prefix, _, slot = name.decode().rpartition(":")
        client().rename(name, f"{prefix}:{int(slot) - 360}")


def test_the_counts_of_several_processes_are_added_up() -> None:
    for each in (process(), process()):
        assert count(each, GOOD, GOOD._replace(is_same=False), BAD, GOOD._replace(ms=900, is_same=True))
    latencies = {bucket_number(20): 6, bucket_number(900): 2}
    assert read_counts("r", Arm.CANDIDATE, VISIT) == Counts(
        requests=8, errors=2, hits=6, misses=2, compared=4, mismatches=2, latencies=latencies
    )
    assert read_counts("r", Arm.CONTROL, VISIT) == read_counts("other", Arm.CANDIDATE, VISIT) == Counts()


def test_a_stage_visit_is_the_sum_of_its_epochs() -> None:
    for epoch in (3, 4, 5):
        count(process(), GOOD._replace(epoch=epoch))
    assert read_counts("r", Arm.CANDIDATE, VISIT).requests == 2


def test_a_window_forgets() -> None:
    count(process(WINDOWED), GOOD, BAD)
    assert read_counts("r", Arm.CANDIDATE, WINDOWED).requests == 2
    let_an_hour_pass()
    assert read_counts("r", Arm.CANDIDATE, WINDOWED) == Counts()


def test_the_sixth_error_of_any_process_trips_the_rollout_and_is_published() -> None:
    subscription = client().pubsub()  # type: ignore[no-untyped-call]
    subscription.subscribe(key("rollouts"))
    assert subscription.get_message(timeout=1)["type"] == "subscribe"
    one, other = process(), process()
    count(one, BAD, BAD, BAD)
    count(other, BAD._replace(epoch=4), BAD)
    assert read_trip_errors("r", 5) == 0
    count(other, BAD)
    errors_by_settled_epoch = [read_trip_errors("r", settled_epoch) for settled_epoch in (0, 5, 6)]
    assert errors_by_settled_epoch == [6, 6, 0]  # until a later epoch settles the trip
    count(one, BAD)
    assert read_trip_errors("r", 5) == 6  # the errors that tripped it stay
    assert subscription.get_message(timeout=1)["data"] == key("trip:r").encode()
    assert subscription.get_message(timeout=0.05) is None
    subscription.close()


@pytest.mark.parametrize("visit", [None, StageVisit(5, 4), StageVisit(5, 4, errors_at_most=100)])
def test_without_a_limit_nothing_trips(visit: StageVisit | None) -> None:
    count(process(visit), *[BAD] * 20)
    assert read_trip_errors("r", 5) == 0


def test_while_the_relative_guard_judges_the_count_trips_nothing() -> None:
    """That holds for every epoch of the visit: finishing or pausing is no reason to trip."""
    defer_to_relative_guard("r", VISIT.first_epoch)
    count(process(), *[BAD] * 20)
    count(process(StageVisit(6, 4, errors_at_most=5)), BAD._replace(epoch=6))
    assert read_trip_errors("r", 0) == 0
    client().delete(key("relative:r:4"))
    count(process(), BAD)
    assert read_trip_errors("r", 0) == 21


def test_errors_of_control_trip_nothing() -> None:
    count(process(), *[BAD._replace(arm=Arm.CONTROL)] * 20)
    assert read_trip_errors("r", 5) == 0


def test_errors_before_the_window_trip_nothing() -> None:
    visit = StageVisit(epoch=5, first_epoch=4, errors_at_most=5, window_seconds=600)
    count(process(visit), *[BAD] * 5)
    let_an_hour_pass()
    count(process(visit), *[BAD] * 5)
    assert read_trip_errors("r", 5) == 0
    count(process(visit), BAD)
    assert read_trip_errors("r", 5) == 6


def test_an_error_does_not_wait_for_the_next_second() -> None:
    one = process()
    one.observe(GOOD)
    assert not one.wake.is_set()
    one.observe(BAD)
    assert one.wake.is_set()


def test_without_redis_observations_are_kept_up_to_a_bound_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    one = process()
    monkeypatch.setattr(counters, "UNSENT_AT_MOST", 3)
    with no_redis(settings):
        assert count(one, GOOD, GOOD) is False
        assert count(one, GOOD, GOOD, GOOD) is False
    for _ in range(2):
        assert one.flush() is True
        counts = read_counts("r", Arm.CANDIDATE, VISIT)
        assert (counts.requests, counts.dropped) == (3, 2)


def test_a_batch_that_arrived_without_an_answer_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, real_eval = process(), client().eval

    def eval_without_answer(*args: object) -> None:
        real_eval(*args)  # type: ignore[arg-type]
        raise TimeoutError

    monkeypatch.setattr(client(), "eval", eval_without_answer)
    assert count(one, BAD, GOOD) is False
    monkeypatch.undo()
    assert count(one, GOOD) is True
    counts = read_counts("r", Arm.CANDIDATE, VISIT)
    assert (counts.requests, counts.errors) == (3, 1)


def test_a_new_visit_begins_with_an_empty_window() -> None:
    before = StageVisit(epoch=5, first_epoch=4, errors_at_most=5, window_seconds=600)
    after = StageVisit(epoch=6, first_epoch=6, errors_at_most=5, window_seconds=600)
    count(process(before), *[BAD] * 5)
    count(process(after), BAD._replace(epoch=6), BAD)  # the second is of the visit before
    assert read_counts("r", Arm.CANDIDATE, after).errors == 1
    assert read_trip_errors("r", 6) == 0


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.booleans(), max_size=30))
def test_nothing_is_lost_between_threads(errors: list[bool]) -> None:
    for name in client().scan_iter(key("*")):
        client().delete(name)
    one = process(None)
    observations = [GOOD._replace(is_error=is_error) for is_error in errors]
    threads = [Thread(target=count, args=(one, *observations)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.flush()
    counts = read_counts("r", Arm.CANDIDATE, VISIT)
    assert (counts.requests, counts.errors) == (3 * len(errors), 3 * sum(errors))
