"""The control loop: it advances on evidence of this stage visit, and goes back by itself."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from core.access.actors import Machine
from core.errors import SlipwayError
from core.redis import client, key
from rollout.choices import Stage
from rollout.control import feeds, loop
from rollout.control.feeds import Feeds
from rollout.decisions.stages import Arm
from rollout.gate.counters import Metrics, Observed, Visit
from rollout.models import GuardPolicy, GuardReading, Rollout, StagePolicy, Transition
from rollout.operations import lifecycle

pytestmark = pytest.mark.django_db
ANNA = Machine("anna")


def now() -> Rollout:
    return Rollout.objects.get(name="derived-data")


def traffic(requests: int = 60, arm: Arm = Arm.CANDIDATE, errors: int = 0, hits: int | None = None) -> None:
    """As gates count it, in the rollout's epoch; all hits unless said otherwise."""
    rollout = now()
    visit = loop.visit_of(rollout, StagePolicy.objects.get(rollout=rollout, stage=rollout.stage))
    of = Metrics(lambda name: visit)
    hits = requests if hits is None else hits
    for number in range(requests):
        one = Observed(rollout.name, rollout.epoch, arm, 20.0, number < errors, number < hits)
        of.observe(one._replace(is_same=True if rollout.stage == Stage.SHADOW_MODE else None))
    assert of.flush()


def fall() -> None:
    """Six errors, counted by a gate that knows the limit."""
    rollout = now()
    of = Metrics(lambda name: Visit(rollout.epoch, rollout.stage_epoch, errors_at_most=5))
    for _ in range(6):
        of.observe(Observed(rollout.name, rollout.epoch, Arm.CANDIDATE, 20.0, is_error=True))
    assert of.flush()


def time_passes(minutes: float) -> None:
    past = F("percent_entered_at") - timedelta(minutes=minutes)
    Rollout.objects.update(percent_entered_at=past, stage_entered_at=F("stage_entered_at") - timedelta(minutes=minutes))


def tick() -> int:
    """The next one: what the last one read is some seconds old."""
    GuardReading.objects.update(at=F("at") - timedelta(seconds=5))
    Rollout.objects.update(stage_entered_at=F("stage_entered_at") - timedelta(seconds=5))
    return loop.tick()


def start() -> None:
    lifecycle.start(now(), actor=ANNA, reason="a test")


def where() -> tuple[str, int]:
    return now().stage, now().percent


def test_it_walks_to_full_active_on_measurements() -> None:
    start()
    seen = [where()]
    for _ in range(7):
        traffic()
        time_passes(15)
        tick()
        seen.append(where())
    assert seen == [
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


def test_without_traffic_of_this_visit_it_stays() -> None:
    start()
    time_passes(60)
    assert tick() == 0
    traffic()
    tick()
    assert where() == ("SHADOW_MODE", 0)
    time_passes(60)
    assert tick() == 0  # what dark mode measured is no evidence here
    assert where() == ("SHADOW_MODE", 0)
    assert set(GuardReading.objects.filter(stage="SHADOW_MODE").values_list("verdict", flat=True)) >= {"INCONCLUSIVE"}


def test_a_guard_that_falls_takes_it_back_before_its_time() -> None:
    start()
    traffic(hits=20)
    assert tick() == 1
    assert where() == ("DISABLED", 0)
    fallen = Transition.objects.latest("epoch")
    assert (fallen.verb, fallen.actor) == ("trip", "system")
    assert fallen.reason == "hit_rate 0.3333, limit 0.7, on 60: VIOLATION"
    assert now().run_state == "cooling"
    assert tick() == 0


def test_a_guard_watches_while_it_is_paused_and_after_it_is_done() -> None:
    for run_state in ("paused", "done"):
        Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", epoch=F("epoch") + 10, percent=100)
        Rollout.objects.update(stage_epoch=F("epoch"))
        if run_state == "paused":
            lifecycle.pause(now(), actor=ANNA, reason="")
        else:
            Rollout.objects.update(run_state="done")
        traffic(errors=6)
        assert tick() == 1
        assert where() == ("DISABLED", 0)


def test_frozen_it_does_not_advance_but_goes_back() -> None:
    start()
    lifecycle.freeze(actor=ANNA, reason="a holiday")
    traffic()
    time_passes(60)
    assert tick() == 0
    traffic(hits=0, requests=200)
    assert tick() == 1
    assert where() == ("DISABLED", 0)


def test_an_approval_is_waited_for_once() -> None:
    StagePolicy.objects.update(needs_approval=True)
    start()
    traffic()
    time_passes(60)
    assert (tick(), tick()) == (1, 0)
    assert now().run_state == "waiting"
    lifecycle.approve(now(), actor=ANNA, reason="looks good")
    tick()
    assert where() == ("SHADOW_MODE", 0)


def test_two_ticks_at_once_do_it_once() -> None:
    start()
    traffic()
    time_passes(60)
    first, second = loop.look(now()), loop.look(now())
    assert loop._act(first) is True
    with pytest.raises(lifecycle.Overtaken):
        loop._act(second)
    assert where() == ("SHADOW_MODE", 0)


def test_without_redis_it_cannot_tell_and_goes_back_when_that_lasts(settings: Settings) -> None:
    start()
    there, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    client.cache_clear()
    try:
        moved = [tick() for _ in range(6)]
    finally:
        settings.REDIS_URL = there
        client.cache_clear()
    assert moved == [0] * 5 + [1]
    assert Transition.objects.latest("epoch").reason == "the guards could not be measured 6 times in a row"


def test_the_relative_guard_takes_over_in_full_active() -> None:
    GuardPolicy.objects.filter(guard="error_rate").update(min_samples=200)
    start()
    Rollout.objects.update(stage="SHADOW_MODE")
    traffic()
    lifecycle.advance(now(), [*loop.look(now()).judged], actor=ANNA, reason="")
    traffic(requests=400, arm=Arm.CONTROL, errors=8)
    traffic()
    lifecycle.advance(now(), [*loop.look(now()).judged], actor=ANNA, reason="")
    traffic(requests=400, errors=8)  # as many as control: more than the count allows
    assert tick() == 0
    assert where() == ("FULL_ACTIVE", 100)
    assert client().exists(key(f"relative:derived-data:{now().stage_epoch}"))
    traffic(requests=200, errors=100)
    assert tick() == 1
    assert where() == ("DISABLED", 0)


def test_feeds_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_watched", [lambda: Feeds(3, 9, 0)])
    start()
    traffic()
    time_passes(60)
    tick()
    reading = GuardReading.objects.get(guard="feed_health")
    assert (reading.value, reading.samples, reading.verdict) == (0.75, 12, "VIOLATION")
    assert where() == ("SHADOW_MODE", 0)  # it only warns


def test_readings_are_of_the_databases_time() -> None:
    start()
    tick()
    assert not GuardReading.objects.filter(at__gt=Now()).exists()


def test_two_workers_with_the_same_tick_read_once() -> None:
    start()
    loop.tick()
    loop.tick()
    assert GuardReading.objects.filter(guard="feed_health").count() == 1
    tick()
    assert GuardReading.objects.filter(guard="feed_health").count() == 2


def test_a_share_does_not_grow_while_nobody_can_measure(settings: Settings) -> None:
    start()
    Rollout.objects.update(stage="PARTIAL_ACTIVE", percent=10)
    traffic()
    time_passes(60)
    there, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    client.cache_clear()
    try:
        assert tick() == 0
    finally:
        settings.REDIS_URL = there
        client.cache_clear()
    assert where() == ("PARTIAL_ACTIVE", 10)
    assert tick() == 1
    assert where() == ("PARTIAL_ACTIVE", 25)


def test_the_count_of_errors_may_lead_one_stage_back() -> None:
    GuardPolicy.objects.filter(guard="errors").update(leads="step_back")
    start()
    Rollout.objects.update(stage="PARTIAL_ACTIVE", percent=10)
    fall()
    assert tick() == 1
    assert (*where(), now().run_state) == ("SHADOW_MODE", 0, "paused")
    assert tick() == 0  # that fall is settled


def test_a_fall_is_not_forgotten_whatever_happens_before_the_tick() -> None:
    start()
    Rollout.objects.update(stage="SHADOW_MODE")
    traffic()
    seen, judged = now(), loop.look(now()).judged
    fall()
    lifecycle.advance(seen, judged, actor=ANNA, reason="it raced")
    lifecycle.pause(now(), actor=ANNA, reason="")
    lifecycle.resume(now(), actor=ANNA, reason="")
    assert tick() == 1
    assert now().run_state == "cooling"
    assert Transition.objects.latest("epoch").reason.startswith("a hard limit fell, with 6 errors")


def test_aborting_what_fell_does_not_spare_the_cool_down() -> None:
    start()
    Rollout.objects.update(stage="SHADOW_MODE")
    fall()
    lifecycle.abort(now(), actor=ANNA, reason="odd")
    assert now().run_state == "cooling"
    assert Transition.objects.latest("epoch").reason == "a hard limit fell, with 6 errors; odd"
    with pytest.raises(SlipwayError):
        lifecycle.start(now(), actor=ANNA, reason="again")


def test_a_relative_guard_that_only_warns_leaves_the_count_in_charge() -> None:
    GuardPolicy.objects.filter(guard="error_rate").update(leads="warn", min_samples=1)
    start()
    Rollout.objects.update(stage="FULL_ACTIVE", control_requests=1000, control_errors=5)
    traffic(requests=200, errors=100)
    assert tick() == 1
    assert where() == ("DISABLED", 0)


def test_controls_sample_is_kept_for_as_long_as_it_is_compared_with() -> None:
    start()
    Rollout.objects.update(stage="PARTIAL_ACTIVE")
    traffic(requests=400, arm=Arm.CONTROL, errors=8)
    traffic()
    lifecycle.advance(now(), loop.look(now()).judged, actor=ANNA, reason="")
    assert (now().control_requests, now().control_errors) == (400, 8)
