"""The counts of the arms: added up over processes, kept while Redis is down; and what trips a rollout."""

from dataclasses import replace
from threading import Thread

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings
from redis import TimeoutError
from structlog.testing import capture_logs

from core.redis import client, key
from rollout.decisions.counts import Arms, Counts, Moments
from rollout.decisions.latency import bucket_number
from rollout.decisions.stages import Arm
from rollout.gate.counters import Counters
from rollout.gate.counting.observation import Observation, StageVisit
from rollout.gate.marks import read_trip_errors
from rollout.gate.slots import VisitQuery, read_totals, read_visits
from tests.rollout.counted import read_arms, read_counts
from tests.rollout.outages import lose_redis_data, no_redis

VISIT = StageVisit("visit", "attempt", step=25, errors_at_most=5)
GOOD = Observation("r", VISIT, Arm.CANDIDATE, 20.0, is_hit=True)
BAD = GOOD._replace(is_error=True, is_hit=False)


def process(visit: StageVisit | None = VISIT) -> Counters:
    """Return the counters of one process that knows this stage visit."""
    return Counters(lambda name: visit)


def count(counters: Counters, *observations: Observation) -> bool:
    for observation in observations:
        counters.observe(observation)
    return counters.flush()


def let_an_hour_pass() -> None:
    for name in client().scan_iter(key("slot:*")):
        prefix, _, slot = name.decode().rpartition(":")
        client().rename(name, f"{prefix}:{int(slot) - 361}")


def test_the_counts_of_several_processes_are_added_up() -> None:
    for each in (process(), process()):
        assert count(each, GOOD, GOOD._replace(is_same=False), BAD, GOOD._replace(ms=900, is_same=True))
    latencies = {bucket_number(20): 6, bucket_number(900): 2}
    assert read_counts(Arm.CANDIDATE, VISIT) == Counts(
        requests=8, errors=2, failing=2, hits=6, misses=2, compared=4, mismatches=2, latencies=latencies
    )
    assert read_counts(Arm.CONTROL, VISIT) == read_counts(Arm.CANDIDATE, StageVisit("other")) == Counts()
    assert read_totals(["r"])["r", Arm.CANDIDATE].counts.requests == 8


def test_counts_are_kept_by_percent_step() -> None:
    count(process(), GOOD, GOOD._replace(visit=StageVisit("visit", step=50), arm=Arm.CONTROL))
    [read] = read_visits([VisitQuery("visit", "attempt", -1)])
    [steps] = read.slots.values()
    assert {step: (arms.candidate.requests, arms.control.requests) for step, arms in steps.items()} == {
        25: (1, 0),
        50: (0, 1),
    }


def test_both_arms_of_one_moment_are_in_one_slot() -> None:
    one = process()
    for _ in range(50):
        assert count(one, GOOD, GOOD._replace(arm=Arm.CONTROL))
    [read] = read_visits([VisitQuery("visit", "attempt", -1)])
    sums = [sum((arms for arms in steps.values()), Arms()) for steps in read.slots.values()]
    assert all(arms.candidate.requests == arms.control.requests for arms in sums)


def test_a_targeting_key_that_fails_again_is_counted_once_as_failing() -> None:
    for each in (process(), process()):
        count(each, *[BAD._replace(key="account-7")] * 3, BAD._replace(key="account-8"), BAD)
    counts = read_counts(Arm.CANDIDATE, VISIT)
    assert (counts.errors, counts.failing) == (10, 4)  # two keys, and two errors without one


def test_targeting_keys_are_counted_when_they_are_seen_first() -> None:
    keys = [f"account-{number}" for number in range(5)]
    for each in (process(), process()):
        count(each, *[GOOD._replace(key=name) for name in keys * 2])
        count(each, *[GOOD._replace(key=name, arm=Arm.CONTROL) for name in ("other", keys[0])])
    arms = read_arms(VISIT)
    assert (arms.candidate.keys, arms.control.keys) == (5, 1)


def test_own_metrics_are_added_up() -> None:
    count(process(), GOOD._replace(metrics={"basket": 2.5, "is_refund": True}), GOOD._replace(metrics={"basket": 1e12}))
    own = read_counts(Arm.CANDIDATE, VISIT).own
    assert own["is_refund"] == Moments(1, 1, 1)
    assert (own["basket"].n, own["basket"].total) == (2, 1e12 + 2.5)


def test_slots_of_long_ago_are_gone() -> None:
    count(process(), GOOD, BAD)
    let_an_hour_pass()
    assert read_arms(VISIT) == Arms()


def test_the_sixth_error_of_any_process_trips_the_rollout_and_is_published() -> None:
    subscription = client().pubsub()  # type: ignore[no-untyped-call]
    subscription.subscribe(key("rollouts"))
    assert subscription.get_message(timeout=1)["type"] == "subscribe"
    tripped: list[str] = []
    one, other = process(), Counters(lambda name: VISIT, on_trip=tripped.append)
    count(one, BAD, BAD, BAD)
    count(other, BAD, BAD)
    assert read_trip_errors("attempt") == 0
    count(other, BAD)
    assert (read_trip_errors("attempt"), read_trip_errors("next-attempt"), tripped) == (6, 0, ["r"])
    count(one, BAD)
    assert read_trip_errors("attempt") == 6  # the errors that tripped it stay
    assert subscription.get_message(timeout=1)["data"] == b"trip attempt"
    assert subscription.get_message(timeout=0.05) is None
    subscription.close()


@pytest.mark.parametrize("visit", [None, StageVisit("visit", "attempt"), StageVisit("other", errors_at_most=5)])
def test_without_a_limit_and_in_another_visit_nothing_trips(visit: StageVisit | None) -> None:
    count(process(visit), *[BAD] * 20)
    assert read_trip_errors("attempt") == 0


def test_the_count_judges_the_first_requests_of_a_visit() -> None:
    first = process(StageVisit("visit", "attempt", 25, errors_at_most=5, first_requests=200))
    count(first, *[GOOD] * 200)
    count(first, *[BAD] * 100)
    assert read_trip_errors("attempt") == 0


@pytest.mark.parametrize(("errors", "trips"), [(12, False), (100, True)])
def test_a_batch_that_exceeds_the_first_requests_counts_in_part(errors: int, trips: bool) -> None:
    first = process(StageVisit("visit", "attempt", 25, errors_at_most=5, first_requests=200))
    count(first, *[GOOD] * (1000 - errors), *[BAD] * errors)
    assert bool(read_trip_errors("attempt")) is trips


def test_errors_of_control_trip_nothing() -> None:
    count(process(), *[BAD._replace(arm=Arm.CONTROL)] * 20)
    assert read_trip_errors("attempt") == 0


def test_errors_before_the_window_trip_nothing() -> None:
    visit = StageVisit("visit", "attempt", 25, errors_at_most=5, window_seconds=600)
    count(process(visit), *[BAD] * 5)
    let_an_hour_pass()
    count(process(visit), *[BAD] * 5)
    assert read_trip_errors("attempt") == 0
    count(process(visit), BAD)
    assert read_trip_errors("attempt")


def test_an_error_does_not_wait_for_the_next_second() -> None:
    one = process()
    one.observe(GOOD)
    assert not one.wake.is_set()
    one.observe(BAD)
    assert one.wake.is_set()


def test_without_redis_every_observation_is_kept(settings: Settings) -> None:
    one = process()
    with no_redis(settings):
        for _ in range(20):
            assert count(one, *[GOOD] * 10_000) is False
    assert one.flush() is True
    assert read_counts(Arm.CANDIDATE, VISIT).requests == 200_000


def test_an_observation_that_cannot_be_counted_costs_itself_alone() -> None:
    one = process()
    odd = GOOD._replace(ms=float("nan"))
    with capture_logs() as logs:
        assert count(one, GOOD, odd, odd._replace(rollout="other"), BAD)
    counts = read_counts(Arm.CANDIDATE, VISIT)
    assert (counts.requests, counts.errors, counts.dropped) == (2, 1, 2)
    assert {entry["rollout"] for entry in logs} == {"r", "other"}


def test_a_dropped_observation_is_counted_and_its_reason_logged_once() -> None:
    one = process()
    with capture_logs() as logs:
        for _ in range(3):
            one.drop("r", VISIT, Arm.CANDIDATE, "ms must be a number (got nan)")
    one.flush()
    assert read_counts(Arm.CANDIDATE, VISIT).dropped == 3
    assert [entry["reason"] for entry in logs] == ["ms must be a number (got nan)"]


def test_a_process_notices_that_its_earlier_counts_are_gone() -> None:
    one = process()
    count(one, BAD)
    lose_redis_data()
    count(one, BAD)
    [read] = read_visits([VisitQuery("visit", "attempt", -1)])
    assert read.is_lost


def test_a_batch_that_arrived_without_an_answer_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, real_eval = process(), client().eval

    def eval_without_answer(*args: object) -> None:
        real_eval(*args)  # type: ignore[arg-type]
        raise TimeoutError

    monkeypatch.setattr(client(), "eval", eval_without_answer)
    assert count(one, BAD, GOOD) is False
    monkeypatch.undo()
    assert count(one, GOOD) is True
    counts = read_counts(Arm.CANDIDATE, VISIT)
    assert (counts.requests, counts.errors) == (3, 1)


OBSERVATIONS = st.builds(
    Observation,
    rollout=st.just("together"),
    visit=st.sampled_from([VISIT, StageVisit("visit", "attempt", step=50), StageVisit("visit", step=100)]),
    arm=st.sampled_from(Arm),
    ms=st.floats(0, 1e8),
    is_error=st.booleans(),
    is_hit=st.sampled_from([None, False, True]),
    is_same=st.sampled_from([None, False, True]),
    key=st.sampled_from([None, "account-7", "account-8", "\ud800"]),
    metrics=st.sampled_from([None, {"basket": 0.5}, {"basket": 4.0, "is_refund": True}]),
    is_alone=st.booleans(),
    has_compare_failed=st.booleans(),
).map(lambda each: each._replace(key=each.key and each.arm.value + each.key))  # a key has one arm


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(OBSERVATIONS, max_size=12))
def test_observations_count_together_as_they_count_one_by_one(observations: list[Observation]) -> None:
    for name in client().scan_iter(key("*")):
        client().delete(name)
    count(process(None), *observations)
    for observation in observations:
        alone = replace(observation.visit, id="alone")
        count(process(None), observation._replace(rollout="alone", visit=alone))
    assert read_arms(VISIT) == read_arms(StageVisit("alone"))
    totals = read_totals(["together", "alone"])
    for arm in Arm:
        assert totals["together", arm].counts == totals["alone", arm].counts
        seconds = totals["alone", arm].latency_seconds
        assert totals["together", arm].latency_seconds == pytest.approx(seconds, abs=1e-5)


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
    counts = read_counts(Arm.CANDIDATE, VISIT)
    assert (counts.requests, counts.errors) == (3 * len(errors), 3 * sum(errors))
