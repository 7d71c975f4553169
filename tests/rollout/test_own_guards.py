"""Guards on the application's own metrics, and the hold-back, as an admin edits them on the page of a stage."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client

from core.access.actors import Machine
from core.errors import WrongInput
from rollout.choices import Guard, Stage
from rollout.decisions.guards import GUARDS_BY_STAGE
from rollout.decisions.measurable import idle_guard_fields, idle_stage_fields
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, runtime
from rollout.gate.bucketing import bucket
from rollout.models import GuardPolicy, StagePolicy
from rollout.operations import own_guards, policies
from rollout.operations.lifecycle import Overtaken
from tests.conftest import committed
from tests.processes import until
from tests.rollout.test_policy_edits import form_of, guard_policy, stage_policy

NAME = "derived-data"
ANNA = Machine("anna")
Browse = Callable[[str], Client]
KEYS = [f"user-{number}" for number in range(500)]
FILLED = {"metric": "refund", "guard": "own_share", "worse": "lower", "tolerance": "1.1", "min_samples": "80"}


def address(policy: StagePolicy, page: str = "change") -> str:
    return f"/admin/rollout/stagepolicy/{policy.pk}/{page}/"


def add(browser: Client, policy: StagePolicy, **filled: Any) -> str:
    sent = {"seen": policy.version, "leads": "step_back"} | FILLED | filled
    return browser.post(address(policy, "guards/add"), sent, follow=True).content.decode()


def own(stage: str = "PARTIAL_ACTIVE") -> list[GuardPolicy]:
    return list(stage_policy(stage).guards.exclude(metric="").order_by("metric"))


@pytest.mark.django_db
def test_the_page_of_a_stage_shows_that_the_limit_of_the_hit_rate_is_a_share_of_misses(browse: Browse) -> None:
    shown = browse("Admin").get(address(stage_policy("PARTIAL_ACTIVE"))).content.decode()
    assert "Hit rate: at most so many misses" in shown


@pytest.mark.django_db
def test_a_guard_on_an_own_metric_is_added_and_deleted_on_the_stages_page(browse: Browse) -> None:
    admin, policy = browse("Admin"), stage_policy("PARTIAL_ACTIVE")
    assert f'href="{address(policy, "guards/add")}"' in admin.get(address(policy)).content.decode()
    assert "The name of the metric, as Answer" in admin.get(address(policy, "guards/add")).content.decode()
    add(admin, policy)
    [guard] = own()
    assert (guard.guard, guard.metric, guard.worse, guard.leads) == ("own_share", "refund", "lower", "step_back")
    assert (guard.tolerance, guard.min_samples, guard.policy.version) == (1.1, 80, 2)
    shown = admin.get(address(policy)).content.decode()
    assert "refund: lower is worse" in shown
    delete = address(policy, f"guards/{guard.pk}/delete")
    assert f'href="{delete}"' in shown
    assert "nothing is judged by this metric" in admin.get(delete).content.decode()
    admin.post(delete, {"seen": 2})
    assert own() == []
    assert stage_policy("PARTIAL_ACTIVE").version == 3
    timeline = admin.get(f"/admin/rollout/rollout/{policy.rollout_id}/change/").content.decode()
    for entry in ("Guard added", "Guard deleted"):
        assert f"{entry}: derived-data Partially active refund" in timeline
    history = admin.get(address(policy, "history")).content.decode()
    assert "add guard" in history
    assert "delete guard" in history


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("filled", "message"),
    [
        ({"metric": "errors"}, "metric must not have the name of another guard (got errors)"),
        ({"metric": "taken"}, "cannot add a guard on taken: derived-data Partially active has one"),
        ({"metric": "no slug"}, "Enter a valid"),
        ({"metric": ""}, "This field is required"),
        ({"metric": "x" * 31}, "at most 30 characters"),
        ({"tolerance": "0.5"}, "greater than or equal to 1"),
        ({"tolerance": "nan"}, "Enter a number"),
        ({"min_samples": "0"}, "greater than or equal to 1"),
        ({"guard": "errors"}, "Select a valid choice"),
        ({"worse": "sideways"}, "Select a valid choice"),
        ({"seen": 0}, "it changed after you opened it"),
    ],
)
def test_what_makes_no_sense_is_not_added(browse: Browse, filled: dict[str, Any], message: str) -> None:
    taken = GuardPolicy(policy=stage_policy("PARTIAL_ACTIVE"), guard="own_mean", metric="taken", at_most=0)
    own_guards.add_own_guard(taken, actor=ANNA)
    assert message in add(browse("Admin"), stage_policy("PARTIAL_ACTIVE"), **filled)
    assert [guard.metric for guard in own()] == ["taken"]


@pytest.mark.django_db
def test_the_database_refuses_a_name_twice_and_the_name_of_another_guard() -> None:
    policy = stage_policy("PARTIAL_ACTIVE")
    policy.guards.create(guard="own_mean", metric="refund", at_most=0)
    for guard, metric in (("own_share", "refund"), ("own_share", "hit_rate")):
        with pytest.raises(DatabaseError), transaction.atomic():
            policy.guards.create(guard=guard, metric=metric, at_most=0)


@pytest.mark.django_db
def test_a_stage_without_control_to_compare_with_takes_no_own_guard(browse: Browse) -> None:
    admin = browse("Admin")
    for stage in ("DARK_MODE", "FULL_ACTIVE"):
        policy = stage_policy(stage)
        assert "guards/add/" not in admin.get(address(policy)).content.decode()
        assert "cannot add a guard on refund" in add(admin, policy)
        assert own(stage) == []
    policy = stage_policy("FULL_ACTIVE")
    policy.hold_back_percent = 10
    policies.save_policies([policy], actor=ANNA)
    add(admin, policy)
    assert len(own("FULL_ACTIVE")) == 1


@pytest.mark.django_db
def test_only_guards_on_own_metrics_are_deleted_and_never_the_last_that_judges() -> None:
    with pytest.raises(WrongInput, match="switch it off"):
        own_guards.delete_own_guard(guard_policy("errors", "SHADOW_MODE"), actor=ANNA)
    policy = stage_policy("SHADOW_MODE")
    guard = GuardPolicy(policy=policy, guard="own_mean", metric="margin", at_most=0)
    own_guards.add_own_guard(guard, actor=ANNA)
    policy.guards.exclude(metric="margin").update(is_on=False)
    with pytest.raises(WrongInput, match="no guard of SHADOW_MODE could ever be measured"):
        own_guards.delete_own_guard(GuardPolicy.objects.get(pk=guard.pk), actor=ANNA)
    assert len(own("SHADOW_MODE")) == 1


@pytest.mark.django_db
def test_a_stale_edit_names_the_guards_that_were_added_and_deleted() -> None:
    seen = stage_policy("SHADOW_MODE")
    guard = GuardPolicy(policy=stage_policy("SHADOW_MODE"), guard="own_mean", metric="margin", at_most=0)
    own_guards.add_own_guard(guard, actor=ANNA)
    own_guards.delete_own_guard(guard, actor=ANNA)
    seen.minutes = 3
    with pytest.raises(Overtaken, match="margin added, by anna; margin deleted, by anna"):
        policies.save_policies([seen], actor=ANNA)


@pytest.mark.django_db
@pytest.mark.parametrize(("group", "status"), [("Viewer", 403), ("Operator", 403), ("Admin", 200)])
def test_only_an_admin_adds_and_deletes_guards(browse: Browse, group: str, status: int) -> None:
    guard = GuardPolicy(policy=stage_policy("SHADOW_MODE"), guard="own_mean", metric="margin", at_most=0)
    own_guards.add_own_guard(guard, actor=ANNA)
    browser = browse(group)
    for page in ("guards/add", f"guards/{guard.pk}/delete"):
        assert browser.get(address(guard.policy, page)).status_code == status
    shown = browser.get(address(guard.policy)).content.decode()
    assert ("guards/add/" in shown) is (status == 200)


@pytest.mark.django_db
def test_only_settings_that_have_an_effect_can_be_edited(browse: Browse) -> None:
    admin = browse("Admin")
    shown = {stage: form_of(admin, address(stage_policy(stage))) for stage in ("DARK_MODE", "FULL_ACTIVE")}
    assert "hold_back_percent" not in shown["DARK_MODE"]
    assert "percents" not in shown["FULL_ACTIVE"]
    assert {"hold_back_percent", "first_requests"} <= shown["FULL_ACTIVE"].keys()
    policy = stage_policy("SHADOW_MODE")
    sent = form_of(admin, address(policy))
    numbers = {guard.guard: number for number, guard in enumerate(policy.guards.all())}
    for guard in ("traffic", "latency", "hit_rate"):
        sent |= {f"guards-{numbers[guard]}-at_most": "0.5", f"guards-{numbers[guard]}-tolerance": "2"}
    assert admin.post(address(policy), sent).status_code == 302
    saved = {guard.guard: (guard.at_most, guard.tolerance) for guard in policy.guards.all()}
    assert (saved["traffic"], saved["latency"], saved["hit_rate"]) == ((0, 1), (0, 2), (0.5, 1))


def test_each_guard_of_a_stage_has_a_setting_that_can_be_edited() -> None:
    for stage, guards in GUARDS_BY_STAGE.items():
        for guard in guards:
            assert idle_guard_fields(stage, guard) <= {"at_most", "tolerance"}
        assert "minutes" not in idle_stage_fields(stage, set(guards))
    assert idle_stage_fields(Stage.PARTIAL_ACTIVE, {Guard.ERRORS}) == {"hold_back_percent", "first_requests"}


@committed
def test_gates_act_on_a_new_hold_back_and_hold_the_keys_back_that_got_the_candidate_last(
    at_stage: Callable[..., None], browse: Browse
) -> None:
    at_stage("FULL_ACTIVE")
    heartbeat.beat()
    admin, policy = browse("Admin"), stage_policy("FULL_ACTIVE")
    shared, flag = runtime.shared(), gate(NAME)
    shared.start()

    def controls() -> set[str]:
        return {key for key in KEYS if flag.decide(key) is Arm.CONTROL}

    try:
        assert until(lambda: not controls())
        before: set[str] = set()
        for percent in (5, 20, 10):
            sent = form_of(admin, address(policy)) | {"hold_back_percent": percent}
            assert admin.post(address(policy), sent).status_code == 302
            last = {key for key in KEYS if bucket(NAME, key) >= 100 - percent}
            assert until(lambda last=last: controls() == last, seconds=5)  # type: ignore[misc]
            assert before <= last or last <= before
            before = last
    finally:
        shared.stop()
