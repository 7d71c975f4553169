"""Rollouts in the admin: what the page shows, who may do what, and that a late confirmation does nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from core.access.actors import Machine
from core.redis import client, key
from rollout.control.loop import tick
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, mismatches, runtime
from rollout.models import Activation, GuardPolicy, Rollout, StagePolicy, Transition
from rollout.operations import lifecycle
from rollout.operations.policies import GUARDS, STAGES
from tests.conftest import look

pytestmark = pytest.mark.django_db
NAME = "derived-data"
Browse = Callable[[str], Client]
ANNA = Machine("anna")


def rollout() -> Rollout:
    return Rollout.objects.get(name=NAME)


def address(page: str = "change") -> str:
    return f"/admin/rollout/rollout/{rollout().pk}/{page}/"


def page(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def confirm(browser: Client, verb: str, **filled: Any) -> Any:
    sent = {"seen": rollout().epoch, "reason": "a test", "pace": "1"} | filled
    return browser.post(address(verb), sent, follow=True)


def traffic(requests: int = 60, errors: int = 0, hits: int | None = None) -> None:
    own = runtime.own()
    look(own.views)
    for number in range(requests):
        hit = number < (requests if hits is None else hits)
        gate(NAME).observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=hit, is_same=True)
    own.flush()


def test_the_page_shows_where_it_stands_and_on_what_evidence(fleet: None, browse: Browse) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="tuesday's trial", pace=0.05)
    traffic()
    tick()
    shown = page(browse("Viewer"), address())
    assert 'aria-current="step"> <span aria-hidden="true">◔</span> <b>Dark mode</b><small>30 s</small>' in shown
    assert "Next: it stays: " in shown
    assert "<b>100 %</b>, limit ≥ 70 %, 60 samples" in shown
    assert 'aria-label="Hit rate: now 100 %, from 100 % to 100 %"' in shown
    assert "The candidate serves <b>0 %</b>" in shown
    assert "Feeds watched: 12 (4 healthy, 0 failing, 8 inactive)" in shown
    assert "tuesday&#x27;s trial" in shown
    assert "sw-button" not in shown  # a viewer does nothing


def test_a_fall_is_told_with_its_evidence(browse: Browse) -> None:
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    traffic(errors=6)
    tick()
    shown = page(browse("Viewer"), address())
    assert "it fell: a hard limit fell, with 6 errors; errors 6, limit 5, on 60: VIOLATION" in shown
    assert "trip: Fully active → " in shown
    assert "<td>Errors</td><td>6</td><td>5</td><td>60</td>" in shown
    assert "It was never moved" not in shown


def test_what_differed_in_shadow_mode_is_shown(browse: Browse) -> None:
    mismatches.keep(NAME, 1.5, "<b>")
    assert "<code>1.5</code> against <code>&#x27;&lt;b&gt;&#x27;</code>" in page(browse("Viewer"), address())


def test_the_moving_part_is_asked_for_by_itself(browse: Browse) -> None:
    viewer = browse("Viewer")
    assert "It was never moved" in page(viewer, address())
    lifecycle.start(rollout(), actor=ANNA, reason="")
    live = page(viewer, address("live"))
    assert "Dark mode" in live
    assert "<html" not in live
    first = viewer.get(address("timeline"))
    known = first.context["known"]
    assert "start: Disabled" in first.content.decode()
    assert viewer.get(address("timeline"), {"known": known}).status_code == 204
    lifecycle.pause(rollout(), actor=ANNA, reason="")
    assert viewer.get(address("timeline"), {"known": known}).status_code == 200
    assert Client().get(address("live")).status_code == 302


@pytest.mark.parametrize(
    ("stage", "run_state", "verbs"),
    [
        ("DISABLED", "idle", ["start"]),
        ("DISABLED", "cooling", ["start"]),
        ("DARK_MODE", "running", ["advance", "pause", "abort"]),
        ("DARK_MODE", "waiting", ["approve", "advance", "pause", "abort"]),
        ("FULL_ACTIVE", "running", ["pause", "abort"]),
        ("FULL_ACTIVE", "done", ["abort"]),
    ],
)
def test_only_verbs_that_mean_something_are_offered(
    browse: Browse, stage: str, run_state: str, verbs: list[str]
) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="")
    Rollout.objects.update(stage=stage, run_state=run_state)
    assert browse("Operator").get(address()).context["verbs"] == verbs


def test_a_verb_asks_says_what_will_change_and_is_on_record(browse: Browse) -> None:
    operator = browse("Operator")
    asked = page(operator, address("start"))
    assert "It moves from Disabled to Dark mode." in asked
    assert "Partially active for 20 min over 10, 25, 50 %" in asked
    assert not Transition.objects.exists()
    answer = confirm(operator, "start", pace="0.05", reason="quiet night")
    assert "Start: derived-data" in answer.content.decode()
    made = Transition.objects.get()
    assert (made.actor, made.reason, made.pace, made.to_stage) == ("operator", "quiet night", 0.05, "DARK_MODE")
    for verb in ("pause", "resume"):
        confirm(operator, verb)
    traffic()
    confirm(operator, "advance")
    assert rollout().stage == "SHADOW_MODE"
    confirm(operator, "abort", reason="wrong odds")
    assert (rollout().stage, rollout().run_state) == ("DISABLED", "idle")


def test_a_late_confirmation_does_nothing(browse: Browse) -> None:
    operator = browse("Operator")
    lifecycle.start(rollout(), actor=ANNA, reason="")
    seen = rollout().epoch
    lifecycle.pause(rollout(), actor=ANNA, reason="")
    for late in (seen, "", "x", "9" * 30, -1):
        answer = confirm(operator, "abort", seen=late)
        assert "has moved since you were asked" in answer.content.decode()
    assert rollout().stage == "DARK_MODE"


def test_an_operation_that_refuses_is_one_line(browse: Browse) -> None:
    operator = browse("Operator")
    lifecycle.start(rollout(), actor=ANNA, reason="")
    answer = confirm(operator, "advance").content.decode()
    assert "the guards of derived-data do not pass; see manage.py rollout status" in answer
    assert "derived-data runs already" in confirm(operator, "start").content.decode()
    asked = operator.post(address("start"), {"seen": 1, "pace": "11"}).content.decode()
    assert "less than or equal to 10" in asked


@pytest.mark.parametrize("verb", ["start", "advance", "approve", "pause", "resume", "abort"])
def test_each_verb_needs_its_permission_and_a_post(browse: Browse, verb: str) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="")
    viewer = browse("Viewer")
    assert viewer.get(address(verb)).status_code == 403
    assert viewer.post(address(verb), {"seen": 1}).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    assert strict.post(address(verb), {"seen": 1}).status_code == 403
    means_something = verb in ("advance", "pause", "abort")
    assert strict.get(address(verb)).status_code == (200 if means_something else 302)
    assert means_something or f"Running: nothing to {verb}".lower() in page(strict, address()).lower()
    assert rollout().epoch == 1


def test_one_permission_is_one_verb(browse: Browse) -> None:
    viewer = browse("Viewer")
    user = User.objects.get(username="viewer")
    user.user_permissions.add(Permission.objects.get(codename="abort_rollout"))
    lifecycle.start(rollout(), actor=ANNA, reason="")
    assert viewer.get(address()).context["verbs"] == ["abort"]
    assert viewer.get(address("pause")).status_code == 403


def test_freezing_is_said_wherever_one_looks(browse: Browse) -> None:
    operator = browse("Operator")
    asked = page(operator, "/admin/rollout/rollout/freeze/")
    assert "Guards still take them back" in asked
    operator.post("/admin/rollout/rollout/freeze/", {"reason": "the finals"})
    assert Activation.objects.get(part="advancing").is_on is False
    for shown in (page(operator, "/admin/rollout/rollout/"), page(operator, address())):
        assert "by operator: the finals. Meanwhile no rollout advances by itself" in shown
    assert "Unfreeze automatic advances" in page(operator, "/admin/rollout/rollout/")
    operator.post("/admin/rollout/rollout/unfreeze/", {"reason": ""})
    assert Activation.objects.get(part="advancing").is_on is True
    assert "Freeze all" not in page(browse("Viewer"), "/admin/rollout/rollout/")


def test_a_blind_control_loop_is_said(browse: Browse) -> None:
    viewer = browse("Viewer")
    client().delete(key("heartbeat"))
    assert "No tick of the control loop for 30 s" in page(viewer, address())
    heartbeat.beat()
    assert "No tick" not in page(viewer, address())


def saved(browser: Client, **changes: str) -> Any:
    form = browser.get(address()).context["inline_admin_formsets"][0].formset
    sent = {f"{form.prefix}-{name}": form.management_form[name].value() for name in form.management_form.fields}
    for row in form.forms:
        for name in row.fields:
            value = row[name].value()
            sent[row.add_prefix(name)] = "" if value in (None, False) else value
    return browser.post(address(), {**sent, **{f"{form.prefix}-{name}": said for name, said in changes.items()}})


def test_editing_a_policy_of_a_running_rollout_is_recorded(browse: Browse) -> None:
    admin = browse("Admin")
    lifecycle.start(rollout(), actor=ANNA, reason="")
    epoch = rollout().epoch
    assert saved(admin, **{"0-minutes": "5", "2-percents": "5,50"}).status_code == 302
    policies = {policy.stage: policy for policy in StagePolicy.objects.filter(rollout=rollout())}
    assert (policies["DARK_MODE"].minutes, policies["PARTIAL_ACTIVE"].percents) == (5, [5, 50])
    assert rollout().epoch == epoch
    shown = page(admin, address())
    assert "Policy edited: derived-data Dark mode" in shown
    assert "minutes 10 → 5" in shown
    assert "percents 10, 25, 50 → 5, 50" in shown
    assert "by admin" in shown


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("0-minutes", "-1"),
        ("0-minutes", "nan"),
        ("0-cool_down_minutes", "-5"),
        ("2-percents", "50,25"),
        ("2-percents", "10,10"),
        ("2-percents", "0,10"),
        ("2-percents", "10,101"),
        ("2-percents", "ten"),
        ("3-window_minutes", "0"),
        ("0-errors_in_a_row", "0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_not_saved(browse: Browse, field: str, said: str) -> None:
    answer = saved(browse("Admin"), **{field: said})
    assert answer.status_code == 200
    assert answer.context["errors"]
    assert list(StagePolicy.objects.filter(rollout=rollout()).values_list("minutes", "percents")) == [
        (minutes, percents) for minutes, percents, _ in STAGES.values()
    ]


def test_operators_edit_no_policy(browse: Browse) -> None:
    assert browse("Operator").post(address(), {}).status_code == 403


def test_a_guards_limit_is_edited_and_recorded(browse: Browse) -> None:
    admin = browse("Admin")
    guard = GuardPolicy.objects.get(policy__stage="DARK_MODE", guard="hit_rate")
    where = f"/admin/rollout/stagepolicy/{guard.policy_id}/change/"
    fields = {"minutes": 10, "percents": "", "errors_in_a_row": 6, "cool_down_minutes": 15}
    rows = list(GuardPolicy.objects.filter(policy=guard.policy))
    sent = {**fields, "guards-TOTAL_FORMS": len(rows), "guards-INITIAL_FORMS": len(rows)}
    for number, row in enumerate(rows):
        at_most = 0.2 if row == guard else row.at_most
        sent |= {f"guards-{number}-id": row.pk, f"guards-{number}-policy": row.policy_id}
        sent |= {f"guards-{number}-is_on": "on", f"guards-{number}-at_most": at_most}
        sent |= {f"guards-{number}-min_samples": row.min_samples, f"guards-{number}-leads": row.leads}
    assert admin.post(where, sent).status_code == 302
    guard.refresh_from_db()
    assert guard.at_most == 0.2
    shown = page(admin, address())
    assert "Policy edited: derived-data Dark mode Hit rate" in shown
    assert "at most 0.3 → 0.2" in shown
    assert admin.post(where, sent | {"guards-0-at_most": "-1"}).status_code == 200
    assert admin.post(where, sent | {"guards-0-at_most": "1.5"}).status_code == 200
    guard.refresh_from_db()
    assert guard.at_most == 0.2


def test_another_rollout_comes_with_policies(browse: Browse) -> None:
    admin = browse("Admin")
    assert admin.post("/admin/rollout/rollout/add/", {"name": "new-odds"}).status_code == 302
    made = Rollout.objects.get(name="new-odds")
    assert {policy.stage for policy in made.policies.all()} == set(STAGES)
    ours = GuardPolicy.objects.filter(policy__rollout__name=NAME).order_by("pk")
    theirs = GuardPolicy.objects.filter(policy__rollout=made).order_by("pk")
    columns = ("policy__stage", "guard", "at_most", "min_samples", "leads")
    assert list(ours.values_list(*columns)) == list(theirs.values_list(*columns))
    assert sum(map(len, GUARDS.values())) == theirs.count()
    assert Transition.objects.get(rollout=made).actor == "admin"
    assert admin.post("/admin/rollout/rollout/add/", {"name": "no slug"}).status_code == 200
    assert browse("Operator").get("/admin/rollout/rollout/add/").status_code == 403


def test_transitions_are_listed(browse: Browse) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="tuesday's trial")
    assert "tuesday&#x27;s trial" in page(browse("Viewer"), "/admin/rollout/transition/?verb=start")
