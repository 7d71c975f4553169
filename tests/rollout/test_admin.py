"""Rollouts in the admin: their page, permissions, and a late confirmation, which does nothing."""

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
from rollout.operations import lifecycle, policies
from rollout.operations.policies import DEFAULT_GUARDS, DEFAULT_STAGES
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
    response = browser.get(address)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def confirm(browser: Client, verb: str, **filled: Any) -> Any:
    form = {"seen": rollout().epoch, "reason": "a test", "pace": "1"} | filled
    return browser.post(address(verb), form, follow=True)


def traffic(requests: int = 60, errors: int = 0, hits: int | None = None) -> None:
    shared = runtime.shared()
    look(shared.states)
    for number in range(requests):
        gate(NAME).observe(Arm.CONTROL, 10.0)
        is_hit = number < (requests if hits is None else hits)
        gate(NAME).observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=is_hit, is_same=True)
    shared.flush()


def test_the_page_shows_the_stage_and_the_evidence(fleet: None, browse: Browse) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="tuesday's trial", pace=0.05)
    traffic()
    tick()
    shown = page(browse("Viewer"), address())
    assert 'aria-current="step"> <span aria-hidden="true">◔</span> <b>Dark mode</b><small>30 s</small>' in shown
    assert "Next: " not in shown  # the sentence on what holds it includes that
    assert "provider lines published: none" in shown
    assert '<td role="cell" data-label="Candidate">100 %</td>' in shown
    assert '<td role="cell" data-label="Limit">≥ 70 %</td>' in shown
    assert '<td role="cell" data-label="Samples">60</td>' in shown
    assert "Candidate: now 100 %, from 100 % to 100 %." in shown
    assert "It stays in Dark mode for " in shown
    assert "The candidate serves <b>0 %</b>" in shown
    assert "Feeds watched: 12 (4 healthy, 0 failing, 8 inactive)" in shown
    assert "tuesday&#x27;s trial" in shown
    assert "sw-button" not in shown  # a viewer does nothing


def test_a_trip_is_shown_with_its_evidence(browse: Browse) -> None:
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    traffic(errors=6)
    tick()
    shown = page(browse("Viewer"), address())
    reason = "the hard limit of errors was exceeded, with 6 errors; errors 6 (limit ≤ 5, 60 samples): VIOLATION"
    assert f"it tripped: {reason}" in shown
    assert "trip: Fully active → " in shown
    assert "<td>Errors</td><td>6</td><td>–</td><td>≤ 5</td><td>60</td>" in shown
    assert "No transition yet" not in shown


def test_only_the_rollout_that_publishes_lines_mentions_them(browse: Browse) -> None:
    policies.create_rollout("new-odds", actor=ANNA)
    new_odds = f"/admin/rollout/rollout/{Rollout.objects.get(name='new-odds').pk}/change/"
    viewer = browse("Viewer")
    assert "provider lines published" in page(viewer, address())
    assert "provider lines published" not in page(viewer, new_odds)


def test_the_mismatches_of_shadow_mode_are_shown(browse: Browse) -> None:
    mismatches.record_mismatch(NAME, 1.5, "<b>")
    assert "<code>1.5</code> against <code>&#x27;&lt;b&gt;&#x27;</code>" in page(browse("Viewer"), address())


def test_the_page_refreshes_its_parts_by_themselves(browse: Browse) -> None:
    viewer = browse("Viewer")
    assert "No transition yet" in page(viewer, address())
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
        ("DISABLED", "idle", ["start", "archive"]),
        ("DISABLED", "cooling", ["start", "archive"]),
        ("DARK_MODE", "running", ["advance", "pause", "abort"]),
        ("DARK_MODE", "waiting", ["approve", "advance", "pause", "abort"]),
        ("FULL_ACTIVE", "running", ["pause", "abort"]),
        ("FULL_ACTIVE", "done", ["abort"]),
    ],
)
def test_only_verbs_that_have_an_effect_are_offered(
    browse: Browse, stage: str, run_state: str, verbs: list[str]
) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="")
    Rollout.objects.update(stage=stage, run_state=run_state)
    assert browse("Operator").get(address()).context["verbs"] == verbs


def test_a_verb_asks_describes_what_will_change_and_is_recorded(browse: Browse) -> None:
    operator = browse("Operator")
    question = page(operator, address("start"))
    assert "It moves from Disabled to Dark mode." in question
    assert "Partially active for 20 min over 10, 25, 50 %" in question
    assert not Transition.objects.exists()
    response = confirm(operator, "start", pace="0.05", reason="quiet night")
    assert "Start: derived-data" in response.content.decode()
    transition = Transition.objects.get()
    assert (transition.actor, transition.reason) == ("operator", "quiet night")
    assert (transition.pace, transition.to_stage) == (0.05, "DARK_MODE")
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
        response = confirm(operator, "resume", seen=late)
        assert "cannot resume derived-data: it changed after you opened the page" in response.content.decode()
    assert rollout().run_state == "paused"
    confirm(operator, "abort", seen=seen)  # an abort is never too late
    assert rollout().stage == "DISABLED"


def test_a_refusal_is_one_line(browse: Browse) -> None:
    operator = browse("Operator")
    lifecycle.start(rollout(), actor=ANNA, reason="")
    content = confirm(operator, "advance").content.decode()
    assert "its guards do not pass; run: manage.py rollout status derived-data" in content
    content = confirm(operator, "start").content.decode()
    assert "cannot start derived-data: it is in DARK_MODE already" in content
    content = operator.post(address("start"), {"seen": 1, "pace": "11"}).content.decode()
    assert "less than or equal to 10" in content


@pytest.mark.parametrize("verb", ["start", "advance", "approve", "pause", "resume", "abort"])
def test_each_verb_needs_its_permission_and_a_post(browse: Browse, verb: str) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="")
    viewer = browse("Viewer")
    assert viewer.get(address(verb)).status_code == 403
    assert viewer.post(address(verb), {"seen": 1}).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    assert strict.post(address(verb), {"seen": 1}).status_code == 403
    has_effect = verb in ("advance", "pause", "abort")
    assert strict.get(address(verb)).status_code == (200 if has_effect else 302)
    assert has_effect or f"Running: nothing to {verb}".lower() in page(strict, address()).lower()
    assert rollout().epoch == 1


def test_a_permission_is_for_one_verb(browse: Browse) -> None:
    viewer = browse("Viewer")
    user = User.objects.get(username="viewer")
    user.user_permissions.add(Permission.objects.get(codename="abort_rollout"))
    lifecycle.start(rollout(), actor=ANNA, reason="")
    assert viewer.get(address()).context["verbs"] == ["abort"]
    assert viewer.get(address("pause")).status_code == 403


def test_every_page_shows_that_advances_are_frozen(browse: Browse) -> None:
    operator = browse("Operator")
    assert "Guards still take them back" in page(operator, "/admin/rollout/rollout/freeze/")
    operator.post("/admin/rollout/rollout/freeze/", {"reason": "the finals"})
    assert Activation.objects.get(part="advancing").is_on is False
    for shown in (page(operator, "/admin/rollout/rollout/"), page(operator, address())):
        assert "by operator: the finals. While it is off, no rollout advances by itself" in shown
    assert "Unfreeze automatic advances" in page(operator, "/admin/rollout/rollout/")
    operator.post("/admin/rollout/rollout/unfreeze/", {"reason": ""})
    assert Activation.objects.get(part="advancing").is_on is True
    assert "Freeze all" not in page(browse("Viewer"), "/admin/rollout/rollout/")


def test_the_page_shows_that_the_control_loop_is_blind(browse: Browse) -> None:
    viewer = browse("Viewer")
    client().delete(key("heartbeat"))
    assert "No tick of the control loop for 30 s" in page(viewer, address())
    heartbeat.beat()
    assert "No tick" not in page(viewer, address())


def save(browser: Client, **changes: str) -> Any:
    """Submit the page of the rollout with these changes to its policies."""
    formset = browser.get(address()).context["inline_admin_formsets"][0].formset
    management = formset.management_form
    sent = {f"{formset.prefix}-{name}": management[name].value() for name in management.fields}
    for form in formset.forms:
        for name in form.fields:
            value = form[name].value()
            sent[form.add_prefix(name)] = "" if value is None or value is False else value
    return browser.post(address(), sent | {f"{formset.prefix}-{name}": value for name, value in changes.items()})


def test_editing_a_policy_of_a_running_rollout_is_recorded(browse: Browse) -> None:
    admin = browse("Admin")
    lifecycle.start(rollout(), actor=ANNA, reason="")
    epoch = rollout().epoch
    assert save(admin, **{"0-minutes": "5", "2-percents": "5,50"}).status_code == 302
    policies = {policy.stage: policy for policy in StagePolicy.objects.filter(rollout=rollout())}
    assert (policies["DARK_MODE"].minutes, policies["PARTIAL_ACTIVE"].percents) == (5, [5, 50])
    assert rollout().epoch == epoch
    shown = page(admin, address())
    assert "Policy edited: derived-data Dark mode" in shown
    assert "minutes 10 → 5" in shown
    assert "percents 10, 25, 50 → 5, 50" in shown
    assert "by admin" in shown


@pytest.mark.parametrize(
    ("field", "value"),
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
def test_a_policy_that_makes_no_sense_is_not_saved(browse: Browse, field: str, value: str) -> None:
    response = save(browse("Admin"), **{field: value})
    assert response.status_code == 200
    assert response.context["errors"]
    assert list(StagePolicy.objects.filter(rollout=rollout()).values_list("minutes", "percents")) == [
        (minutes, percents) for minutes, percents, _ in DEFAULT_STAGES.values()
    ]


def test_operators_may_not_edit_policies(browse: Browse) -> None:
    assert browse("Operator").post(address(), {}).status_code == 403


def test_a_guards_limit_is_edited_and_recorded(browse: Browse) -> None:
    admin = browse("Admin")
    guard = GuardPolicy.objects.get(policy__stage="DARK_MODE", guard="hit_rate")
    stage_address = f"/admin/rollout/stagepolicy/{guard.policy_id}/change/"
    fields = {"minutes": 10, "percents": "", "errors_in_a_row": 6, "cool_down_minutes": 15, "version": 1}
    fields |= {"first_requests": 200, "hold_back_percent": 0}
    rows = list(GuardPolicy.objects.filter(policy=guard.policy))
    sent = {**fields, "guards-TOTAL_FORMS": len(rows), "guards-INITIAL_FORMS": len(rows)}
    for number, row in enumerate(rows):
        at_most = 0.2 if row == guard else row.at_most
        sent |= {f"guards-{number}-id": row.pk, f"guards-{number}-policy": row.policy_id}
        sent |= {f"guards-{number}-is_on": "on", f"guards-{number}-at_most": at_most, f"guards-{number}-tolerance": 1}
        sent |= {f"guards-{number}-min_samples": row.min_samples, f"guards-{number}-leads": row.leads}
    assert admin.post(stage_address, sent).status_code == 302
    guard.refresh_from_db()
    assert guard.at_most == 0.2
    shown = page(admin, address())
    assert "Policy edited: derived-data Dark mode Hit rate" in shown
    assert "at most 0.3 → 0.2" in shown
    sent["version"] = 2
    assert admin.post(stage_address, sent | {"guards-0-at_most": "-1"}).status_code == 200
    assert admin.post(stage_address, sent | {"guards-0-at_most": "1.5"}).status_code == 200
    guard.refresh_from_db()
    assert guard.at_most == 0.2


def test_a_new_rollout_comes_with_policies(browse: Browse) -> None:
    admin = browse("Admin")
    assert admin.post("/admin/rollout/rollout/add/", {"name": "new-odds"}).status_code == 302
    new = Rollout.objects.get(name="new-odds")
    assert {policy.stage for policy in new.policies.all()} == set(DEFAULT_STAGES)
    from_migration = GuardPolicy.objects.filter(policy__rollout__name=NAME).order_by("policy", "guard")
    of_new = GuardPolicy.objects.filter(policy__rollout=new).order_by("policy", "guard")
    columns = ("policy__stage", "guard", "at_most", "min_samples", "leads")
    assert list(from_migration.values_list(*columns)) == list(of_new.values_list(*columns))
    assert sum(map(len, DEFAULT_GUARDS.values())) == of_new.count()
    assert Transition.objects.get(rollout=new).actor == "admin"
    assert admin.post("/admin/rollout/rollout/add/", {"name": "no slug"}).status_code == 200
    assert browse("Operator").get("/admin/rollout/rollout/add/").status_code == 403


def test_transitions_are_listed(browse: Browse) -> None:
    lifecycle.start(rollout(), actor=ANNA, reason="tuesday's trial")
    assert "tuesday&#x27;s trial" in page(browse("Viewer"), "/admin/rollout/transition/?verb=start")
