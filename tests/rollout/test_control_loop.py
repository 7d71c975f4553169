"""The control loop: rollouts advance on the evidence of their stage visit, and go back by themselves."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from core.access.actors import Machine
from core.errors import SlipwayError
from providers.models import ProviderState
from rollout.choices import Stage
from rollout.control import loop
from rollout.control.assessment import assess
from rollout.control.records import store
from rollout.decisions.latency import bucket_number
from rollout.decisions.stages import Arm, serving_at
from rollout.gate import gate, runtime
from rollout.gate.counters import Counters
from rollout.gate.counting.observation import Observation, StageVisit
from rollout.models import Activation, GuardPolicy, GuardReading, Rollout, StagePolicy, Transition, VisitEvidence
from rollout.operations import lifecycle, policies
from tests.rollout.counted import close_slots
from tests.rollout.outages import lose_redis_data, no_redis

pytestmark = pytest.mark.django_db
ANNA = Machine("anna")


def now() -> Rollout:
    return Rollout.objects.get(name="derived-data")


def visit_of(rollout: Rollout) -> StageVisit:
    """Return the rollout's present stage visit, without a hard limit."""
    step = serving_at(Stage(rollout.stage), rollout.percent).percent
    return StageVisit(rollout.visit.hex, rollout.attempt.hex, step)


def traffic(requests: int = 60, arm: Arm = Arm.CANDIDATE, errors: int = 0, hits: int | None = None) -> None:
    """Count requests in the rollout's epoch, as gates do. All are cache hits by default."""
    rollout, visit = now(), visit_of(now())
    counters = Counters(lambda name: visit)
    hits = requests if hits is None else hits
    for number in range(requests):
        observation = Observation(rollout.name, visit, arm, 20.0, number < errors, number < hits)
        counters.observe(observation._replace(is_same=True if rollout.stage == Stage.SHADOW_MODE else None))
    assert counters.flush()


def exceed_hard_limit() -> None:
    """Count six errors, as a gate does that knows the limit."""
    rollout, visit = now(), replace(visit_of(now()), errors_at_most=5)
    counters = Counters(lambda name: visit)
    for _ in range(6):
        counters.observe(Observation(rollout.name, visit, Arm.CANDIDATE, 20.0, is_error=True))
    assert counters.flush()


def time_passes(minutes: float) -> None:
    past = F("percent_entered_at") - timedelta(minutes=minutes)
    Rollout.objects.update(percent_entered_at=past, stage_entered_at=F("stage_entered_at") - timedelta(minutes=minutes))


def tick() -> int:
    """Run the next tick, five seconds after the last one."""
    earlier = {name: F(name) - timedelta(seconds=5) for name in ("judged_at", "read_at")}
    VisitEvidence.objects.update(**earlier)
    GuardReading.objects.update(at=F("at") - timedelta(seconds=5))
    Rollout.objects.update(stage_entered_at=F("stage_entered_at") - timedelta(seconds=5))
    return loop.tick()


def start() -> None:
    lifecycle.start(now(), actor=ANNA, reason="a test")


def position() -> tuple[str, int]:
    return now().stage, now().percent


def test_it_advances_to_full_active_on_measurements() -> None:
    start()
    positions = [position()]
    for _ in range(7):
        traffic()
        time_passes(15)
        tick()
        positions.append(position())
    assert positions == [
        ("DARK_MODE", 0),
        ("SHADOW_MODE", 0),
        ("PARTIAL_ACTIVE", 10),
        ("PARTIAL_ACTIVE", 25),
        ("PARTIAL_ACTIVE", 50),
        ("FULL_ACTIVE", 100),
        ("FULL_ACTIVE", 100),
        ("FULL_ACTIVE", 100),
    ]
    assert now().run_state == "done"
    assert list(Transition.objects.order_by("epoch").values_list("verb", flat=True)) == [
        *("start", "advance", "advance", "step", "step", "advance", "finish")
    ]


def test_without_traffic_in_this_visit_it_stays() -> None:
    start()
    time_passes(60)
    assert tick() == 0
    traffic()
    tick()
    assert position() == ("SHADOW_MODE", 0)
    time_passes(60)
    assert tick() == 0  # the measurements of dark mode are no evidence here
    assert position() == ("SHADOW_MODE", 0)
    assert set(GuardReading.objects.filter(stage="SHADOW_MODE").values_list("verdict", flat=True)) >= {"INCONCLUSIVE"}


def test_a_violation_takes_it_back_before_its_time_is_over() -> None:
    start()
    traffic(hits=20)
    assert tick() == 1
    assert position() == ("DISABLED", 0)
    trip = Transition.objects.latest("epoch")
    assert (trip.verb, trip.actor) == ("trip", "system")
    assert trip.reason == "hit_rate 33.3 % (limit ≥ 70 %, 60 samples): VIOLATION"
    assert now().run_state == "cooling"
    assert tick() == 0


def test_the_guards_watch_while_it_is_paused_and_after_it_is_done() -> None:
    for run_state in ("paused", "done"):
        Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", epoch=F("epoch") + 10, percent=100)
        Rollout.objects.update(stage_epoch=F("epoch"))
        if run_state == "paused":
            lifecycle.pause(now(), actor=ANNA, reason="")
        else:
            Rollout.objects.update(run_state="done")
        traffic(errors=6)
        assert tick() == 1
        assert position() == ("DISABLED", 0)


def test_while_frozen_it_does_not_advance_but_goes_back() -> None:
    start()
    lifecycle.freeze(actor=ANNA, reason="a holiday")
    traffic()
    time_passes(60)
    assert tick() == 0
    traffic(hits=0, requests=200)
    assert tick() == 1
    assert position() == ("DISABLED", 0)


def test_it_waits_once_for_an_approval() -> None:
    StagePolicy.objects.update(needs_approval=True)
    start()
    traffic()
    time_passes(60)
    assert (tick(), tick()) == (1, 0)
    assert now().run_state == "waiting"
    lifecycle.approve(now(), actor=ANNA, reason="looks good")
    tick()
    assert position() == ("SHADOW_MODE", 0)


def test_two_ticks_at_the_same_time_advance_it_once() -> None:
    start()
    traffic()
    time_passes(60)
    first, second = assess(now()), assess(now())
    assert loop.apply_decision(first) is True
    with pytest.raises(lifecycle.Overtaken):
        loop.apply_decision(second)
    assert position() == ("SHADOW_MODE", 0)


def test_without_redis_nothing_is_measured_and_it_goes_back_if_that_lasts(settings: Settings) -> None:
    start()
    with no_redis(settings):
        moved = [tick() for _ in range(6)]
    assert moved == [0] * 5 + [1]
    assert Transition.objects.latest("epoch").reason == "the guards could not be measured at 6 ticks in a row"


def test_errors_are_compared_with_control_where_it_runs() -> None:
    Rollout.objects.update(stage="PARTIAL_ACTIVE", run_state="running", percent=50, percent_entered_at=Now())
    for _ in range(3):
        traffic(requests=400, arm=Arm.CONTROL, errors=8)
        traffic(requests=400, errors=8)  # as many as control, which is more than the count allows
        close_slots()
        assert tick() == 0
    traffic(requests=400, arm=Arm.CONTROL, errors=8)
    traffic(requests=400, errors=100)
    assert tick() == 0  # the slot is not closed yet
    close_slots()
    assert tick() == 1
    assert position() == ("DISABLED", 0)
    assert "error_rate 7.75 % (limit as control" in Transition.objects.latest("epoch").reason


def test_a_hold_back_is_compared_with_in_full_active() -> None:
    StagePolicy.objects.filter(stage="FULL_ACTIVE").update(hold_back_percent=5)
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="done", percent=100)
    for errors in (10, 10, 100, 100):  # an hour that is bad for both arms
        traffic(requests=500, arm=Arm.CONTROL, errors=errors)
        traffic(requests=500, errors=errors)
        close_slots()
        assert tick() == 0
    traffic(requests=500, arm=Arm.CONTROL, errors=5)
    traffic(requests=500, errors=200)
    close_slots()
    assert tick() == 1
    assert position() == ("DISABLED", 0)


def test_the_feeds_of_the_fleet_are_watched(fleet: None) -> None:
    enabled = ProviderState.objects.filter(is_enabled=True).order_by("pk")
    enabled.update(status="error")
    ProviderState.objects.filter(pk__in=list(enabled.values_list("pk", flat=True)[:3])).update(status="active")
    start()
    traffic()
    time_passes(60)
    tick()
    reading = GuardReading.objects.get(guard="feed_health")
    assert (reading.value, reading.samples, reading.verdict) == (0.75, 12, "VIOLATION")
    assert position() == ("SHADOW_MODE", 0)  # this guard only warns


def test_readings_have_the_time_of_the_database() -> None:
    start()
    tick()
    assert not GuardReading.objects.filter(at__gt=Now()).exists()


def test_two_workers_with_the_same_tick_store_one_reading() -> None:
    start()
    loop.tick()
    loop.tick()
    assert GuardReading.objects.filter(guard="feed_health").count() == 1
    tick()
    assert GuardReading.objects.filter(guard="feed_health").count() == 2


def test_the_share_does_not_grow_while_nothing_can_be_measured(settings: Settings) -> None:
    start()
    Rollout.objects.update(stage="PARTIAL_ACTIVE", percent=10)
    traffic()
    time_passes(60)
    with no_redis(settings):
        assert tick() == 0
    assert position() == ("PARTIAL_ACTIVE", 10)
    assert tick() == 1
    assert position() == ("PARTIAL_ACTIVE", 25)


def test_the_count_of_errors_may_lead_one_stage_back() -> None:
    GuardPolicy.objects.filter(guard="errors").update(leads="step_back")
    start()
    Rollout.objects.update(stage="PARTIAL_ACTIVE", percent=10)
    exceed_hard_limit()
    assert tick() == 1
    assert (*position(), now().run_state) == ("SHADOW_MODE", 0, "paused")
    assert tick() == 0  # the transition settled the trip


def test_a_trip_is_not_forgotten_by_what_happens_before_the_tick() -> None:
    start()
    Rollout.objects.update(stage="SHADOW_MODE")
    traffic()
    seen, judgments = now(), assess(now()).judgments
    exceed_hard_limit()
    lifecycle.advance(seen, judgments, actor=ANNA, reason="it raced the trip")
    lifecycle.pause(now(), actor=ANNA, reason="")
    lifecycle.resume(now(), actor=ANNA, reason="")
    assert tick() == 1
    assert now().run_state == "cooling"
    trip = Transition.objects.latest("epoch")
    assert trip.reason.startswith("the hard limit of errors was exceeded, with 6 errors")


def test_aborting_a_rollout_that_tripped_does_not_skip_the_cool_down() -> None:
    start()
    Rollout.objects.update(stage="SHADOW_MODE")
    exceed_hard_limit()
    lifecycle.abort(now(), actor=ANNA, reason="odd")
    assert now().run_state == "cooling"
    assert Transition.objects.latest("epoch").reason == "the hard limit of errors was exceeded, with 6 errors; odd"
    with pytest.raises(SlipwayError):
        lifecycle.start(now(), actor=ANNA, reason="again")


def test_a_relative_guard_that_only_warns_leaves_the_count_in_charge() -> None:
    GuardPolicy.objects.filter(guard="error_rate").update(leads="warn", min_samples=1)
    start()
    Rollout.objects.update(stage="FULL_ACTIVE", control_requests=1000, control_errors=5)
    traffic(requests=200, errors=100)
    assert tick() == 1
    assert position() == ("DISABLED", 0)


def test_the_sample_of_control_is_kept_for_the_next_stage() -> None:
    """It raises the hard limit of errors, and gives the latency that counts as slow."""
    start()
    traffic(requests=400, arm=Arm.CONTROL, errors=8)
    traffic()
    close_slots()
    tick()
    lifecycle.advance(now(), assess(now()).judgments, actor=ANNA, reason="")
    assert (now().control_requests, now().control_errors) == (400, 8)
    assert now().control_slow_bucket == bucket_number(20)
    assert assess(now()).measured.setting.hard_limit > 5


def test_each_percent_step_needs_a_sample_of_its_own() -> None:
    Rollout.objects.update(stage="PARTIAL_ACTIVE", run_state="running", percent=10)
    traffic()
    time_passes(60)
    assert tick() == 1
    assert position() == ("PARTIAL_ACTIVE", 25)
    time_passes(60)
    assert tick() == 0
    assert "0 of 50 samples at 25 %" in assess(now()).decision.reasons[0]
    traffic()
    assert tick() == 1
    assert position() == ("PARTIAL_ACTIVE", 50)


def test_time_with_serving_off_does_not_count() -> None:
    start()
    Activation.objects.filter(part="serving").update(is_on=False)
    tick()
    traffic()
    time_passes(60)
    assert tick() == 0
    Activation.objects.filter(part="serving").update(is_on=True)
    VisitEvidence.objects.update(judged_at=Now())
    Rollout.objects.update(percent_entered_at=Now() - timedelta(seconds=20))
    assert tick() == 0
    assert position() == ("DARK_MODE", 0)


def test_calls_with_serving_off_are_no_evidence(at_stage: Callable[..., None]) -> None:
    """An application without a probe passes dark mode on its traffic, but not on that of a stage that was off."""
    Activation.objects.filter(part="serving").update(is_on=False)
    at_stage("DARK_MODE")
    for _ in range(60):
        gate("derived-data").run("account-7", control=lambda: 1, candidate=lambda: 1)
    runtime.shared().flush()
    assert {each.samples for each in assess(now()).judgments if each.name == "traffic"} == {0}


def test_time_without_a_tick_does_not_count() -> None:
    start()
    tick()
    traffic()
    hour = timedelta(hours=1)
    Rollout.objects.update(percent_entered_at=F("percent_entered_at") - hour)
    VisitEvidence.objects.update(judged_at=F("judged_at") - hour)
    assert tick() == 0
    assert assess(now()).decision.reasons[0].endswith("s are left")


@pytest.mark.parametrize("loss", ["flushed", "restored"])
def test_a_loss_of_measurements_is_an_error_and_takes_it_back(loss: str) -> None:
    start()
    traffic()
    tick()
    tick()
    if loss == "flushed":
        lose_redis_data()
    else:  # to a dump that was made before the last tick
        VisitEvidence.objects.update(tick=F("tick") - 1)
    time_passes(60)
    assert [tick() for _ in range(6)] == [0] * 5 + [1]
    reason = Transition.objects.latest("epoch").reason
    assert reason == "the guards could not be measured at 6 ticks in a row"
    assert "ERROR" in GuardReading.objects.filter(guard="hit_rate").values_list("verdict", flat=True)


def test_a_loss_between_reading_and_storing_is_noticed_by_the_next_tick() -> None:
    start()
    traffic()
    tick()
    tick()
    assessment = assess(now())
    lose_redis_data()
    traffic(requests=1)
    assert store([assessment]).assessments
    tick()
    assert "ERROR" in GuardReading.objects.filter(guard="hit_rate").values_list("verdict", flat=True)


def test_a_rollout_that_is_done_survives_the_loss_of_some_seconds() -> None:
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="done", percent=100)
    traffic()
    tick()
    tick()
    lose_redis_data()
    assert [tick() for _ in range(7)] == [0] * 7
    assert GuardReading.objects.filter(guard="hit_rate", verdict="ERROR").exists()


def test_an_earlier_life_of_the_database_lends_no_measurements() -> None:
    """A rollout that was restored to before its start is started once more, and nothing was measured in that visit."""
    disabled = Rollout.objects.values().get(name="derived-data")
    start()
    traffic(requests=500)
    tick()
    Transition.objects.all().delete()
    VisitEvidence.objects.all().delete()
    Rollout.objects.filter(pk=disabled["id"]).update(**disabled)
    start()
    time_passes(60)
    assert tick() == 0
    assert position() == ("DARK_MODE", 0)


def test_calls_without_a_probe_pass_dark_mode_on_their_traffic() -> None:
    start()
    visit = visit_of(now())
    counters = Counters(lambda name: visit)
    for _ in range(60):
        counters.observe(Observation("derived-data", visit, Arm.CONTROL, 20.0, is_alone=True))
    counters.flush()
    time_passes(60)
    assert tick() == 1
    assert position() == ("SHADOW_MODE", 0)


def test_a_rollout_that_cannot_be_judged_does_not_delay_the_others() -> None:
    odd = policies.create_rollout("odd", actor=ANNA)
    lifecycle.start(odd, actor=ANNA, reason="")
    odd.policies.all().delete()
    start()
    traffic()
    time_passes(60)
    assert tick() == 1
    assert position() == ("SHADOW_MODE", 0)


def test_a_tick_takes_as_many_queries_for_ten_rollouts_as_for_one() -> None:
    start()
    tick()
    with CaptureQueriesContext(connection) as of_one:
        tick()
    for number in range(9):
        lifecycle.start(policies.create_rollout(f"rollout-{number}", actor=ANNA), actor=ANNA, reason="")
    tick()
    with CaptureQueriesContext(connection) as of_ten:
        tick()
    assert len(of_ten) == len(of_one)
    assert VisitEvidence.objects.count() == 10


def test_own_metrics_are_guarded() -> None:
    policy = StagePolicy.objects.get(rollout__name="derived-data", stage="PARTIAL_ACTIVE")
    policy.guards.create(guard="own_share", metric="is_refund", at_most=0)
    Rollout.objects.update(stage="PARTIAL_ACTIVE", run_state="running", percent=50)
    visit = visit_of(now())
    for bad, arm in ((40, Arm.CANDIDATE), (5, Arm.CONTROL)):
        counters = Counters(lambda name: visit)
        for number in range(500):
            counters.observe(
                Observation("derived-data", visit, arm, 20.0, is_hit=True, metrics={"is_refund": number < bad})
            )
        counters.flush()
    close_slots()
    assert tick() == 1
    assert "is_refund 8 % (limit as control, control 1 % of 500, 500 samples): VIOLATION" in (
        Transition.objects.latest("epoch").reason
    )
