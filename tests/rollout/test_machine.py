"""Operators, ticks, traffic and outages in any order, and the invariants that hold in each of them."""

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
from rollout.control.assessment import assess
from rollout.decisions.guards import FIRST_REQUESTS, Judgment
from rollout.decisions.stages import ORDER, Arm
from rollout.gate import Gate, heartbeat
from rollout.gate.runtime import GateRuntime
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
    """A rollout, its process and its traffic.

    counted: what was counted in the present stage visit, to be compared with what becomes of the rollout.
    must_trip: the hard limit was exceeded, and no tick has recorded the trip yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        for name in client().scan_iter(key("*"), count=1000):
            client().delete(name)
        self.redis_url = django_settings.REDIS_URL
        self.process = process = GateRuntime()
        self.gate = Gate(NAME, lambda: process)
        self.judgments: list[Judgment] = []
        self.seen = now()
        self.visit_epoch = 0
        self.counted = {"requests": 0, "errors": 0, "misses": 0}
        self.must_trip = False
        heartbeat.beat()

    def teardown(self) -> None:
        self.redis(True)
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def redis(self, is_up: bool) -> None:
        django_settings.REDIS_URL = self.redis_url if is_up else NOWHERE
        client.cache_clear()

    @property
    def is_up(self) -> bool:
        return bool(self.redis_url == django_settings.REDIS_URL)

    def act(self, verb: Callable[..., Any], *args: Any, **options: Any) -> None:
        with suppress(SlipwayError):
            verb(*args, actor=ANNA, reason="a reason", **options)

    @initialize(stages=st.integers(0, 6))
    def begin_in_some_stage(self, stages: int) -> None:
        """Advance first, because most examples would never leave dark mode otherwise."""
        if stages:
            self.start(1.0)
        for _ in range(stages):
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
        """Read the rollout as an operator does who acts on it later."""
        self.judgments, self.seen = list(assess(now()).judgments), now()

    @rule()
    def advance_on_what_was_read(self) -> None:
        self.act(lifecycle.advance, self.seen, self.judgments)

    @precondition(lambda self: now().stage in ERRORS_JUDGED and self.is_up)
    @rule()
    def an_advance_races_a_trip(self) -> None:
        self.traffic(60, 0, 0)
        self.read_the_guards()
        self.traffic(6, 6, 0)
        self.a_violation_is_not_forgotten()
        self.advance_on_what_was_read()
        self.a_violation_is_not_forgotten()
        self.tick()

    @rule(is_needed=st.booleans())
    def require_approvals(self, is_needed: bool) -> None:
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
        self.process.states.refresh()
        stage = now().stage
        if self.process.states.find(NAME) is None:
            return
        for number in range(requests):
            is_same = True if stage == Stage.SHADOW_MODE else None
            self.gate.observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=number >= misses, is_same=is_same)
        self.counted["requests"] += requests
        self.counted["errors"] += min(errors, requests)
        self.counted["misses"] += min(misses, requests)
        self.process.flush()

    @rule(is_up=st.booleans())
    def outage(self, is_up: bool) -> None:
        self.redis(is_up)
        self.process.flush()

    @rule()
    def tick(self) -> None:
        self.process.flush()
        stage = Stage(now().stage)
        miss_share = self.counted["misses"] / max(1, self.counted["requests"])
        is_bad = self.counted["requests"] >= 50 and miss_share > 0.3 and stage != Stage.DISABLED
        must_trip = self.is_up and stage != Stage.DISABLED and (self.must_trip or is_bad)
        loop.tick()
        if must_trip:
            assert now().stage == Stage.DISABLED
            self.must_trip = False

    @invariant()
    def a_violation_is_not_forgotten(self) -> None:
        rollout = now()
        self.follow_visit()
        is_counted = rollout.stage in ERRORS_JUDGED and self.counted["requests"] <= FIRST_REQUESTS
        if is_counted and self.counted["errors"] > 5 and self.is_up:
            self.must_trip = True
        if self.must_trip and self.is_up:
            self.process.flush()
            self.process.states.refresh()
            assert self.gate.decide(EARLY) is Arm.CONTROL

    def follow_visit(self) -> None:
        """Count from zero in a new stage visit, and expect no trip of a rollout that an operator disabled."""
        rollout = now()
        if rollout.stage_epoch != self.visit_epoch:
            self.visit_epoch = rollout.stage_epoch
            self.counted = dict.fromkeys(self.counted, 0)
        if rollout.stage == Stage.DISABLED:
            self.must_trip = False

    @invariant()
    def the_history_is_complete_and_leads_to_the_present_stage(self) -> None:
        transitions = list(Transition.objects.filter(rollout__name=NAME).order_by("epoch"))
        rollout = now()
        assert [transition.epoch for transition in transitions] == list(range(1, rollout.epoch + 1))
        stages = [Stage.DISABLED.value, *(transition.to_stage for transition in transitions)]
        assert [transition.from_stage for transition in transitions] == stages[:-1]
        assert rollout.stage == stages[-1]

    @invariant()
    def it_advances_a_stage_at_a_time_on_a_pass_of_this_visit(self) -> None:
        last = Transition.objects.filter(rollout__name=NAME).order_by("-epoch").first()
        if last is None or last.verb != "advance":
            return
        steps = ORDER.index(Stage(last.to_stage)) - ORDER.index(Stage(last.from_stage))
        binding = [judgment for judgment in last.evidence if judgment["leads"] != "warn"]
        assert steps == 1
        assert binding
        assert all(judgment["verdict"] == "PASS" and judgment["samples"] >= 50 for judgment in binding)

    @invariant()
    def a_share_shrinks_only_when_it_is_taken_back(self) -> None:
        transitions = list(Transition.objects.filter(rollout__name=NAME).order_by("epoch"))
        for before, after in pairwise(transitions):
            assert after.percent >= before.percent or after.verb in ("trip", "abort")

    @invariant()
    def the_share_of_the_candidate_follows_from_the_stage(self) -> None:
        self.process.states.refresh()
        rollout, state = now(), self.process.states.find(NAME)
        if state is not None and not state.has_tripped:
            percent = rollout.percent if rollout.stage in (Stage.PARTIAL_ACTIVE, Stage.FULL_ACTIVE) else 0
            assert state.serving.percent == percent


@pytest.mark.django_db
def test_the_invariants_hold_in_any_order_of_events() -> None:
    assert Rollout.objects.filter(stage_entered_at__lte=Now()).exists()
    few_examples = settings(
        max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(World, settings=few_examples)
