"""Operators, ticks, traffic and outages in any order: what holds whatever happens."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.access.actors import Machine
from core.errors import SlipwayError
from core.redis import client, key
from rollout.choices import Stage
from rollout.control import loop
from rollout.decisions.guards import Judged
from rollout.decisions.stages import ORDER, Arm
from rollout.gate import Gate, heartbeat
from rollout.gate.runtime import Process
from rollout.models import Rollout, StagePolicy, Transition
from rollout.operations import lifecycle

NAME = "derived-data"
ANNA = Machine("anna")
EARLY = "user-6"  # below 10 %
NOWHERE = "unix:///nowhere/redis.sock"
ERRORS_JUDGED = {Stage.SHADOW_MODE, Stage.PARTIAL_ACTIVE, Stage.FULL_ACTIVE}


def now() -> Rollout:
    return Rollout.objects.get(name=NAME)


class World(RuleBasedStateMachine):
    """What was counted in this stage visit is kept beside, to be compared with what the rollout makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        for found in client().scan_iter(key("*"), count=1000):
            client().delete(found)
        self.there = django_settings.REDIS_URL
        self.process = Process()
        own = self.process
        self.gate = Gate(NAME, own.views, own.metrics, own.shadows, own.in_flight)
        self.judged: list[Judged] = []
        self.before = now()
        self.counted = {"requests": 0, "errors": 0, "misses": 0}
        self.must_fall = False  # a hard limit fell, and no tick has written it down yet
        heartbeat.beat()

    def teardown(self) -> None:
        self.redis(True)
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def redis(self, is_up: bool) -> None:
        django_settings.REDIS_URL = self.there if is_up else NOWHERE
        client.cache_clear()

    @property
    def is_up(self) -> bool:
        return bool(self.there == django_settings.REDIS_URL)

    def act(self, verb: Callable[..., Any], *args: Any, **more: Any) -> None:
        with suppress(SlipwayError):
            verb(*args, actor=ANNA, reason="a reason", **more)

    @initialize(stretches=st.integers(0, 6))
    def begin_somewhere(self, stretches: int) -> None:
        """Or most examples would never leave dark mode."""
        if stretches:
            self.start(1.0)
        for _ in range(stretches):
            self.goes_well()

    @rule()
    def goes_well(self) -> None:
        self.a_violation_is_not_forgotten()
        self.traffic(60, 0, 0)
        self.time_passes(30)
        self.tick()

    @rule(pace=st.sampled_from([1.0, 0.05]))
    def start(self, pace: float) -> None:
        self.act(lifecycle.start, now(), pace=pace)

    @rule()
    def pause(self) -> None:
        self.act(lifecycle.pause, now())

    @rule()
    def resume(self) -> None:
        self.act(lifecycle.resume, now())

    @rule()
    def approve(self) -> None:
        self.act(lifecycle.approve, now())

    @rule()
    def abort(self) -> None:
        self.act(lifecycle.abort, now())

    @rule(verb=st.sampled_from([lifecycle.freeze, lifecycle.unfreeze]))
    def freeze(self, verb: Callable[..., Any]) -> None:
        self.act(verb)

    @precondition(lambda self: now().stage != Stage.DISABLED)
    @rule()
    def read_the_guards(self) -> None:
        """As an operator does, who acts on it later."""
        self.judged, self.before = list(loop.look(now()).judged), now()

    @rule()
    def advance_on_what_was_read(self) -> None:
        self.act(lifecycle.advance, self.before, self.judged)

    @precondition(lambda self: now().stage in ERRORS_JUDGED and self.is_up)
    @rule()
    def an_advance_races_a_fall(self) -> None:
        self.traffic(60, 0, 0)
        self.read_the_guards()
        self.traffic(6, 6, 0)
        self.a_violation_is_not_forgotten()
        self.advance_on_what_was_read()
        self.a_violation_is_not_forgotten()
        self.tick()

    @rule(is_needed=st.booleans())
    def ask_for_approvals(self, is_needed: bool) -> None:
        StagePolicy.objects.update(needs_approval=is_needed)

    @rule(minutes=st.sampled_from([1, 7, 30]))
    def time_passes(self, minutes: int) -> None:
        past = timedelta(minutes=minutes)
        Rollout.objects.update(
            percent_entered_at=F("percent_entered_at") - past,
            stage_entered_at=F("stage_entered_at") - past,
            paused_at=F("paused_at") - past,
            cool_down_until=F("cool_down_until") - past,
        )

    @rule(
        requests=st.sampled_from([1, 40, 60]), errors=st.sampled_from([0, 0, 0, 2, 6]), misses=st.sampled_from([0, 9])
    )
    def traffic(self, requests: int, errors: int, misses: int) -> None:
        self.process.views.check()
        stage, view = now().stage, self.process.views.get(NAME)
        if view is None:
            return
        for number in range(requests):
            is_same = True if stage == Stage.SHADOW_MODE else None
            self.gate.observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=number >= misses, is_same=is_same)
        sent = (requests, min(errors, requests), min(misses, requests))
        for name, more in zip(self.counted, sent, strict=True):
            self.counted[name] += more
        self.process.flush()

    @rule(is_up=st.booleans())
    def outage(self, is_up: bool) -> None:
        self.redis(is_up)
        self.process.flush()

    @rule()
    def tick(self) -> None:
        self.process.flush()
        stage = Stage(now().stage)
        lost = self.counted["misses"] / max(1, self.counted["requests"])
        is_bad = self.counted["requests"] >= 50 and lost > 0.3 and stage != Stage.DISABLED
        must_fall = self.is_up and stage != Stage.DISABLED and (self.must_fall or is_bad)
        loop.tick()
        if must_fall:
            assert now().stage == Stage.DISABLED
            self.must_fall = False

    @invariant()
    def a_violation_is_not_forgotten(self) -> None:
        rollout = now()
        self.visit()
        if rollout.stage in ERRORS_JUDGED and self.counted["errors"] > 5 and self.is_up:
            self.must_fall = True
        if self.must_fall and self.is_up:
            self.process.flush()
            self.process.views.check()
            assert self.gate.decide(EARLY) is Arm.CONTROL

    def visit(self) -> None:
        """A new one begins to count anew; one that a person took to disabled is over."""
        rollout = now()
        if rollout.stage_epoch != getattr(self, "_visit", 0):
            self._visit = rollout.stage_epoch
            self.counted = dict.fromkeys(self.counted, 0)
        if rollout.stage == Stage.DISABLED:
            self.must_fall = False

    @invariant()
    def history_is_complete_and_tells_where_it_stands(self) -> None:
        moves = list(Transition.objects.filter(rollout__name=NAME).order_by("epoch"))
        rollout = now()
        assert [move.epoch for move in moves] == list(range(1, rollout.epoch + 1))
        stages = [Stage.DISABLED.value, *(move.to_stage for move in moves)]
        assert [move.from_stage for move in moves] == stages[:-1]
        assert rollout.stage == stages[-1]

    @invariant()
    def it_advances_a_stage_at_a_time_on_a_pass_of_this_visit(self) -> None:
        last = Transition.objects.filter(rollout__name=NAME).order_by("-epoch").first()
        if last is None or last.verb != "advance":
            return
        steps = ORDER.index(Stage(last.to_stage)) - ORDER.index(Stage(last.from_stage))
        judged = [one for one in last.evidence if one["leads"] != "warn"]
        assert steps == 1
        assert judged
        assert all(one["verdict"] == "PASS" and one["samples"] >= 50 for one in judged)

    @invariant()
    def a_share_shrinks_only_when_it_is_taken_back(self) -> None:
        moves = list(Transition.objects.filter(rollout__name=NAME).order_by("epoch"))
        for before, after in pairwise(moves):
            assert after.percent >= before.percent or after.verb in ("trip", "abort")

    @invariant()
    def who_is_served_the_candidate_follows_from_the_stage(self) -> None:
        self.process.views.check()
        rollout, view = now(), self.process.views.get(NAME)
        if view is not None and not view.has_tripped:
            share = rollout.percent if rollout.stage in (Stage.PARTIAL_ACTIVE, Stage.FULL_ACTIVE) else 0
            assert view.serves.percent == share


@pytest.mark.django_db
def test_whatever_happens_in_whatever_order() -> None:
    assert Rollout.objects.filter(stage_entered_at__lte=Now()).exists()
    few = settings(
        max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(World, settings=few)
