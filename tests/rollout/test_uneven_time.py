"""The control loop if its time is uneven: ticks that come too often, edits of a policy in use, a Redis that is full."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from core.redis import client
from rollout.control import loop
from rollout.control.assessment import assess
from rollout.decisions.stages import Arm
from rollout.gate.state import RolloutStates
from rollout.models import Activation, GuardReading, Rollout, StagePolicy, Transition, VisitEvidence
from tests.conftest import look
from tests.rollout.counted import close_slots
from tests.rollout.outages import no_redis
from tests.rollout.test_control_loop import now, position, start, tick, time_passes, traffic

pytestmark = pytest.mark.django_db


@contextmanager
def redis_that_only_answers(settings: Settings) -> Iterator[None]:
    """Let Redis refuse every write inside the block, as it does if its memory or its disk is full."""
    client().acl_setuser("reader", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-@write"])
    redis_url = settings.REDIS_URL
    settings.REDIS_URL = f"{redis_url}{'&' if '?' in redis_url else '?'}username=reader&password=none"
    client.cache_clear()
    try:
        yield
    finally:
        settings.REDIS_URL = redis_url
        client.cache_clear()
        client().acl_deluser("reader")


def test_a_redis_that_refuses_writes_measures_nothing(settings: Settings) -> None:
    start()
    traffic()
    tick()
    time_passes(60)
    with redis_that_only_answers(settings):
        assert [tick() for _ in range(6)] == [0] * 5 + [1]
    assert position() == ("DISABLED", 0)


def test_more_frequent_ticks_do_not_hide_that_nothing_can_be_measured(settings: Settings) -> None:
    """Two beats by mistake send a tick every 2.5 seconds."""
    start()
    with no_redis(settings):
        for _ in range(12):
            VisitEvidence.objects.update(judged_at=F("judged_at") - timedelta(seconds=2.5))
            loop.tick()
    assert Transition.objects.latest("epoch").reason.startswith("the guards could not be measured")


def test_time_that_did_not_count_still_does_not_after_an_edit_of_the_hold_back() -> None:
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100, percent_entered_at=Now())
    traffic()
    tick()
    time_passes(9)
    VisitEvidence.objects.update(judged_at=F("judged_at") - timedelta(minutes=9))  # gates answered control
    tick()
    StagePolicy.objects.filter(stage="FULL_ACTIVE").update(hold_back_percent=5)
    tick()
    time_passes(2)
    assert assess(now()).decision.reasons[0].endswith("s are left")


def test_what_left_the_window_is_no_evidence() -> None:
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100, percent_entered_at=Now())
    traffic()
    close_slots()
    tick()
    close_slots(7 * 60)
    time_passes(60)
    assert tick() == 0
    assert position() == ("FULL_ACTIVE", 100)
    assert now().run_state == "running"
    assert GuardReading.objects.filter(name="hit_rate").latest("pk").verdict == "INCONCLUSIVE"


def test_a_step_that_leaves_no_key_to_control_is_judged_by_the_limit() -> None:
    Rollout.objects.update(stage="PARTIAL_ACTIVE", run_state="running", percent=50, percent_entered_at=Now())
    traffic(requests=300, arm=Arm.CONTROL)
    traffic(requests=300)
    close_slots()
    tick()
    Rollout.objects.update(percent=100)
    traffic(requests=600, errors=300)
    close_slots()
    assert tick() == 1
    assert position() == ("DISABLED", 0)


def test_keys_that_control_serves_while_serving_is_off_are_not_assigned() -> None:
    Rollout.objects.update(stage="PARTIAL_ACTIVE", run_state="running", percent=50)
    states = RolloutStates()
    look(states)
    visit = states.visit_of("derived-data")
    assert visit is not None
    assert visit.step == 50
    Activation.objects.filter(part="serving").update(is_on=False)
    states.refresh()
    visit = states.visit_of("derived-data")
    assert visit is not None
    assert visit.step == 0
    traffic(arm=Arm.CONTROL)
