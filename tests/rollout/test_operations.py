"""The verbs of a rollout: their permissions, races between actors, and what is recorded."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from core.access.actors import SYSTEM, Actor, Machine
from core.db.append_only import FLAG
from core.errors import Refused, WrongInput
from core.switches import Part
from rollout.choices import Guard, RunState, Stage, Verdict
from rollout.decisions.guards import Judgment
from rollout.models import Activation, GuardPolicy, Rollout, StagePolicy, Transition
from rollout.operations import lifecycle
from rollout.operations.lifecycle import Overtaken

pytestmark = pytest.mark.django_db
PASSED = [Judgment(Guard.HIT_RATE, 0.9, 0.7, 100, Verdict.PASS)]
VIOLATED = [Judgment(Guard.ERRORS, 6, 5, 10, Verdict.VIOLATION)]
ANNA = Machine("anna")


@pytest.fixture
def rollout(db: None) -> Rollout:
    return Rollout.objects.get(name="derived-data")


def now(rollout: Rollout) -> Rollout:
    return Rollout.objects.get(pk=rollout.pk)


def in_stage(rollout: Rollout, stage: Stage, **changes: object) -> Rollout:
    Rollout.objects.filter(pk=rollout.pk).update(stage=stage, **{"run_state": RunState.RUNNING} | changes)
    return now(rollout)


def test_there_is_one_rollout_with_a_policy_for_each_stage(rollout: Rollout) -> None:
    assert (rollout.stage, rollout.run_state, rollout.percent) == ("DISABLED", "idle", 0)
    policies = {policy.stage: (policy.minutes, policy.percents) for policy in rollout.policies.all()}
    assert policies == {
        "DARK_MODE": (10, []),
        "SHADOW_MODE": (15, []),
        "PARTIAL_ACTIVE": (20, [10, 25, 50]),
        "FULL_ACTIVE": (10, []),
    }


def test_it_passes_through_its_stages_and_every_step_is_recorded(rollout: Rollout) -> None:
    lifecycle.start(rollout, actor=ANNA, reason="quiet night", pace=0.05)
    for _ in range(2):
        lifecycle.advance(now(rollout), PASSED, actor=SYSTEM, reason="time and guards")
    assert now(rollout).percent == 10
    for percent in (25, 50):
        lifecycle.step(now(rollout), percent, [], actor=SYSTEM, reason="held")
    lifecycle.advance(now(rollout), PASSED, actor=SYSTEM, reason="time and guards")
    lifecycle.finish(now(rollout), PASSED, actor=SYSTEM, reason="passed")
    done = now(rollout)
    assert (done.stage, done.percent, done.run_state, done.epoch, done.pace) == ("FULL_ACTIVE", 100, "done", 7, 0.05)
    history = [(row.verb, row.to_stage, row.percent, row.epoch) for row in reversed(done.transitions.all())]
    assert history == [
        ("start", "DARK_MODE", 0, 1),
        ("advance", "SHADOW_MODE", 0, 2),
        ("advance", "PARTIAL_ACTIVE", 10, 3),
        ("step", "PARTIAL_ACTIVE", 25, 4),
        ("step", "PARTIAL_ACTIVE", 50, 5),
        ("advance", "FULL_ACTIVE", 100, 6),
        ("finish", "FULL_ACTIVE", 100, 7),
    ]
    first = done.transitions.last()
    assert first is not None
    assert (first.actor, first.reason, first.from_stage, first.pace) == ("anna", "quiet night", "DISABLED", 0.05)
    assert done.transitions.all()[1].evidence[0]["verdict"] == "PASS"


def test_the_faster_of_two_actors_wins(rollout: Rollout) -> None:
    lifecycle.start(rollout, actor=ANNA, reason="")
    seen = now(rollout)
    lifecycle.advance(seen, PASSED, actor=ANNA, reason="")
    with pytest.raises(Overtaken, match="rollout status"):
        lifecycle.advance(seen, PASSED, actor=SYSTEM, reason="")
    assert (now(rollout).stage, Transition.objects.count()) == ("SHADOW_MODE", 2)


@pytest.mark.parametrize("judgments", [[], VIOLATED, [Judgment(Guard.P95_MS, None, 1000, 3, Verdict.INCONCLUSIVE)]])
def test_without_a_pass_it_is_not_advanced(rollout: Rollout, judgments: list[Judgment]) -> None:
    dark = in_stage(rollout, Stage.DARK_MODE)
    with pytest.raises(Refused, match="do not pass"):
        lifecycle.advance(dark, judgments, actor=ANNA, reason="please")
    full = in_stage(rollout, Stage.FULL_ACTIVE)
    with pytest.raises(Refused, match="cannot finish derived-data"):
        lifecycle.finish(full, judgments, actor=ANNA, reason="please")


def test_a_share_only_grows(rollout: Rollout) -> None:
    partial = in_stage(rollout, Stage.PARTIAL_ACTIVE, percent=25)
    for percent in (10, 25, 101):
        with pytest.raises(WrongInput, match="shares only grow"):
            lifecycle.step(partial, percent, PASSED, actor=SYSTEM, reason="")


def test_after_a_trip_it_cools_down_and_a_restart_needs_a_reason(rollout: Rollout) -> None:
    partial = in_stage(rollout, Stage.PARTIAL_ACTIVE, percent=25)
    trip = lifecycle.trip(partial, Stage.DISABLED, VIOLATED, actor=SYSTEM, reason="errors 6 (limit ≤ 5)")
    assert (trip.from_stage, trip.to_stage, trip.percent) == ("PARTIAL_ACTIVE", "DISABLED", 0)
    assert trip.evidence[0] | {"guard": "errors", "value": 6, "verdict": "VIOLATION"} == trip.evidence[0]
    cooling = now(rollout)
    with pytest.raises(Refused, match=r"an operator must run: manage\.py rollout start"):
        lifecycle.start(cooling, actor=SYSTEM, reason="again")
    with pytest.raises(WrongInput, match="--reason"):
        lifecycle.start(cooling, actor=ANNA, reason=" ")
    with pytest.raises(Refused, match=r"cools down until \d\d:\d\d:\d\d UTC"):
        lifecycle.start(cooling, actor=ANNA, reason="mended")
    Rollout.objects.update(cool_down_until=Now() - timedelta(seconds=1))
    lifecycle.start(now(rollout), actor=ANNA, reason="mended")
    assert (now(rollout).stage, now(rollout).cool_down_until) == ("DARK_MODE", None)


def test_a_trip_may_lead_one_stage_back(rollout: Rollout) -> None:
    partial = in_stage(rollout, Stage.PARTIAL_ACTIVE, percent=25)
    lifecycle.trip(partial, Stage.SHADOW_MODE, VIOLATED, actor=SYSTEM, reason="errors")
    assert (now(rollout).stage, now(rollout).run_state, now(rollout).percent) == ("SHADOW_MODE", "paused", 0)
    lifecycle.resume(now(rollout), actor=ANNA, reason="mended")
    assert now(rollout).run_state == "running"


def test_pauses_are_added_up(rollout: Rollout) -> None:
    dark = in_stage(rollout, Stage.DARK_MODE)
    lifecycle.pause(dark, actor=ANNA, reason="lunch")
    Rollout.objects.update(paused_at=F("paused_at") - timedelta(seconds=90))
    lifecycle.resume(now(rollout), actor=ANNA, reason="back")
    lifecycle.pause(now(rollout), actor=ANNA, reason="coffee")
    Rollout.objects.update(paused_at=F("paused_at") - timedelta(seconds=30))
    lifecycle.resume(now(rollout), actor=ANNA, reason="back")
    assert now(rollout).paused_seconds == pytest.approx(120, abs=5)
    lifecycle.advance(now(rollout), PASSED, actor=ANNA, reason="")
    assert now(rollout).paused_seconds == 0


def test_an_approval_is_for_the_present_wait(rollout: Rollout) -> None:
    dark = in_stage(rollout, Stage.DARK_MODE)
    with pytest.raises(Refused, match="cannot approve derived-data: it is running, not waiting"):
        lifecycle.approve(dark, actor=ANNA, reason="go")
    lifecycle.wait(dark, PASSED, actor=SYSTEM)
    lifecycle.approve(now(rollout), actor=ANNA, reason="go")
    approved = now(rollout)
    assert (approved.approved_by, approved.approved_epoch, approved.run_state) == ("anna", approved.epoch, "running")
    lifecycle.advance(approved, PASSED, actor=SYSTEM, reason="")
    assert (now(rollout).approved_by, now(rollout).approved_epoch) == ("", None)


@pytest.mark.parametrize("run_state", ["running", "waiting", "done", "cooling"])
def test_a_rollout_can_be_aborted_in_every_state(rollout: Rollout, run_state: str) -> None:
    partial = in_stage(rollout, Stage.PARTIAL_ACTIVE, run_state=run_state, percent=50)
    lifecycle.abort(partial, actor=ANNA, reason="a complaint")
    assert (now(rollout).stage, now(rollout).run_state, now(rollout).percent) == ("DISABLED", "idle", 0)
    with pytest.raises(Refused, match="cannot abort derived-data: it is disabled already"):
        lifecycle.abort(now(rollout), actor=ANNA, reason="")


def test_freezing_switches_the_part_advancing_off(db: None) -> None:
    assert lifecycle.freeze(actor=ANNA, reason="a holiday") is True
    assert lifecycle.freeze(actor=ANNA, reason="again") is False
    row = Activation.objects.get(part=Part.ADVANCING)
    assert (row.is_on, row.by, row.reason) == (False, "anna", "a holiday")
    assert lifecycle.unfreeze(actor=ANNA, reason="back") is True
    assert Activation.objects.allows(Part.ADVANCING)


VERBS: dict[str, Callable[[Rollout, Actor], object]] = {
    "start": lambda seen, actor: lifecycle.start(seen, actor=actor, reason=""),
    "advance": lambda seen, actor: lifecycle.advance(seen, PASSED, actor=actor, reason=""),
    "step": lambda seen, actor: lifecycle.step(seen, 50, PASSED, actor=actor, reason=""),
    "finish": lambda seen, actor: lifecycle.finish(seen, PASSED, actor=actor, reason=""),
    "wait": lambda seen, actor: lifecycle.wait(seen, PASSED, actor=actor),
    "approve": lambda seen, actor: lifecycle.approve(seen, actor=actor, reason=""),
    "pause": lambda seen, actor: lifecycle.pause(seen, actor=actor, reason=""),
    "resume": lambda seen, actor: lifecycle.resume(seen, actor=actor, reason=""),
    "abort": lambda seen, actor: lifecycle.abort(seen, actor=actor, reason=""),
    "trip": lambda seen, actor: lifecycle.trip(seen, Stage.DISABLED, VIOLATED, actor=actor, reason=""),
    "freeze": lambda seen, actor: lifecycle.freeze(actor=actor, reason=""),
    "unfreeze": lambda seen, actor: lifecycle.unfreeze(actor=actor, reason=""),
}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_needs_its_permission(rollout: Rollout, verb: str, member: Callable[[str], User]) -> None:
    with pytest.raises(Refused, match="lacks the permission rollout"):
        VERBS[verb](rollout, member("Viewer"))
    assert not Transition.objects.exists()


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        (StagePolicy, {"minutes": -1}),
        (StagePolicy, {"window_minutes": 0}),
        (StagePolicy, {"stage": "DISABLED"}),
        (GuardPolicy, {"at_most": -1}),
        (GuardPolicy, {"guard": "luck"}),
        (Rollout, {"percent": 101}),
        (Rollout, {"pace": 0}),
        (Rollout, {"run_state": "paused"}),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    table: type[StagePolicy | GuardPolicy | Rollout], changes: dict[str, object], rollout: Rollout
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        table.objects.filter(pk=table.objects.latest("pk").pk).update(**changes)


@pytest.mark.parametrize("percents", [[50, 25], [10, 10], [0, 50], [50, 101]])
def test_shares_that_do_not_increase_are_refused(percents: list[int], rollout: Rollout) -> None:
    policy = rollout.policies.get(stage="PARTIAL_ACTIVE")
    policy.percents = percents
    with pytest.raises(ValidationError, match="percents must increase"):
        policy.full_clean()


def test_the_history_is_append_only(rollout: Rollout) -> None:
    lifecycle.start(rollout, actor=ANNA, reason="")
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {FLAG} = off")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Transition.objects.update(reason="another")


def test_an_advance_past_an_approval_needs_its_permission(rollout: Rollout, member: Callable[[str], User]) -> None:
    StagePolicy.objects.update(needs_approval=True)
    user = member("Viewer")
    user.user_permissions.add(Permission.objects.get(codename="advance_rollout"))
    with pytest.raises(Refused, match="approve_rollout"):
        lifecycle.advance(in_stage(rollout, Stage.DARK_MODE), PASSED, actor=user, reason="")
