"""Edits of policies: their limits, two operators at the same time, and stages that could never be judged."""

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from core.access.actors import Machine
from core.errors import SlipwayError, WrongInput
from rollout.choices import Guard, Stage
from rollout.decisions.measurable import is_measurable
from rollout.decisions.ranges import LIMIT_RANGES, MIN_SAMPLES, STAGE_RANGES, Range, describe_outside
from rollout.models import GuardPolicy, Rollout, StagePolicy
from rollout.operations import lifecycle, policies
from rollout.operations.lifecycle import Overtaken
from tests.conftest import committed

ANNA, BEN = Machine("anna"), Machine("ben")
Browse = Callable[[str], Client]
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def stage_policy(stage: str = "DARK_MODE") -> StagePolicy:
    return StagePolicy.objects.get(rollout__name="derived-data", stage=stage)


def guard_policy(guard: str, stage: str = "FULL_ACTIVE") -> GuardPolicy:
    return GuardPolicy.objects.select_related("policy__rollout").get(policy=stage_policy(stage), guard=guard)


OUTSIDE = [
    ("minutes", 1e12, "minutes must be from 0 to 43,200 minutes (got 1e+12)"),
    ("minutes", math.nan, "minutes must be from 0 to 43,200 minutes (got nan)"),
    ("minutes", math.inf, "minutes must be from 0 to 43,200 minutes (got inf)"),
    ("cool_down_minutes", 10_081, "cool_down_minutes must be from 0 to 10,080 minutes (got 10081)"),
    ("cool_down_minutes", math.nan, "cool_down_minutes must be from 0 to 10,080 minutes (got nan)"),
    ("errors_in_a_row", 0, "errors_in_a_row must be from 1 to 1,000 ticks (got 0)"),
    ("errors_in_a_row", 1001, "errors_in_a_row must be from 1 to 1,000 ticks (got 1001)"),
    ("window_minutes", 0.5, "window_minutes must be from 1 to 60 minutes (got 0.5)"),
    ("window_minutes", math.nan, "window_minutes must be from 1 to 60 minutes (got nan)"),
    ("percents", [0, 50], "percents must increase, from 1 to 100 percent, for example 10, 25, 50 (got 0, 50)"),
    ("percents", [50, 101], "percents must increase, from 1 to 100 percent, for example 10, 25, 50 (got 50, 101)"),
]
OUTSIDE_GUARD = [
    ("p95_ms", "at_most", 80_001, "at_most must be from 0 to 80,000 ms (got 80001)"),
    ("p95_ms", "at_most", math.inf, "at_most must be from 0 to 80,000 ms (got inf)"),
    ("p95_ms", "at_most", math.nan, "at_most must be from 0 to 80,000 ms (got nan)"),
    ("errors", "at_most", 2e6, "at_most must be from 0 to 1,000,000 errors (got 2e+06)"),
    ("hit_rate", "at_most", 1.5, "at_most must be from 0 to 1 (got 1.5)"),
    ("error_rate", "at_most", 0.0, "at_most must be from 0.000001 to 0.5 (got 0)"),
    ("hit_rate", "min_samples", 0, "min_samples must be from 1 to 10,000,000 samples (got 0)"),
    ("hit_rate", "min_samples", 20_000_000, "min_samples must be from 1 to 10,000,000 samples (got 2e+07)"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("guard", "field", "value", "message"), [*(("", *case) for case in OUTSIDE), *OUTSIDE_GUARD])
def test_a_number_outside_its_range_is_refused_by_the_operation_and_the_database(
    guard: str, field: str, value: Any, message: str
) -> None:
    policy = guard_policy(guard) if guard else stage_policy("PARTIAL_ACTIVE")
    setattr(policy, field, value)
    with pytest.raises(WrongInput) as refused:
        policies.save_policies([policy], actor=ANNA)
    assert message in str(refused.value)
    with pytest.raises(DatabaseError), transaction.atomic():
        type(policy).objects.filter(pk=policy.pk).update(**{field: value})


@pytest.mark.django_db
@pytest.mark.parametrize("pace", [math.nan, math.inf, -math.inf, 0.0, 11.0])
def test_a_pace_that_is_no_number_is_refused(pace: float) -> None:
    with pytest.raises(WrongInput, match="pace must be greater than 0 and at most 10"):
        lifecycle.start(Rollout.objects.get(), actor=ANNA, reason="", pace=pace)
    with pytest.raises(DatabaseError), transaction.atomic():
        Rollout.objects.update(pace=pace)


@given(st.sampled_from([*STAGE_RANGES.values(), *LIMIT_RANGES.values(), MIN_SAMPLES]), FLOATS)
def test_a_clamped_number_is_in_its_range_and_one_in_the_range_is_kept(allowed: Range, value: float) -> None:
    assert allowed.includes(allowed.clamp(value))
    assert allowed.clamp(value) == value or not allowed.includes(value)
    assert bool(describe_outside("minutes", allowed, value)) is not allowed.includes(value)


@pytest.mark.django_db
def test_a_stale_edit_is_refused_and_names_what_the_others_changed() -> None:
    seen_by_anna, seen_by_ben = stage_policy(), stage_policy()
    limit_seen_by_ben = guard_policy("hit_rate", "DARK_MODE")
    guard = guard_policy("hit_rate", "DARK_MODE")
    seen_by_anna.minutes, guard.at_most, guard.policy = 20, 0.2, seen_by_anna
    policies.save_policies([seen_by_anna, guard], actor=ANNA)
    seen_by_anna.minutes = 25  # the saved row has the version of the save
    policies.save_policies([seen_by_anna], actor=ANNA)
    seen_by_ben.minutes, seen_by_ben.needs_approval, limit_seen_by_ben.min_samples = 5, True, 7
    for late in ([seen_by_ben], [limit_seen_by_ben], [stage_policy("SHADOW_MODE"), seen_by_ben]):
        with pytest.raises(Overtaken) as refused:
            policies.save_policies(late, actor=BEN)
        message = str(refused.value)
        assert message.startswith("cannot save derived-data Dark mode: it changed after you opened it: ")
        for change in (
            "minutes: 10 → 20, by anna",
            "minutes: 20 → 25, by anna",
            "hit_rate at_most: 0.3 → 0.2, by anna",
        ):
            assert change in message
        assert "version" not in message
    assert (stage_policy().minutes, stage_policy().needs_approval, stage_policy().version) == (25, False, 3)
    assert guard_policy("hit_rate", "DARK_MODE").min_samples == 50
    assert stage_policy("SHADOW_MODE").version == 1


@pytest.mark.django_db
def test_an_edit_of_another_stage_is_no_conflict() -> None:
    dark, shadow = stage_policy(), stage_policy("SHADOW_MODE")
    dark.minutes, shadow.minutes = 1, 2
    policies.save_policies([dark], actor=ANNA)
    policies.save_policies([shadow], actor=BEN)
    assert (stage_policy().minutes, stage_policy("SHADOW_MODE").minutes) == (1, 2)


@committed
def test_of_several_edits_at_the_same_moment_one_is_stored() -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def edit(minutes: int) -> None:
        policy = stage_policy()
        policy.minutes = minutes
        barrier.wait()
        try:
            policies.save_policies([policy], actor=Machine(f"operator-{minutes}"))
            outcomes.append("stored")
        except Overtaken:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=edit, args=[minutes]) for minutes in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "refused", "refused", "stored"]
    assert stage_policy().version == 2


def form_of(browser: Client, address: str) -> dict[str, Any]:
    """Return what the page sends if nothing is edited."""
    shown = browser.get(address).context
    formsets = [admin_formset.formset for admin_formset in shown["inline_admin_formsets"]]
    sent: dict[str, Any] = {}
    for form in [shown["adminform"].form, *(form for formset in formsets for form in formset.forms)]:
        for name in form.fields:
            value = form[name].value()
            sent[form.add_prefix(name)] = "" if value is None or value is False else value
    for formset in formsets:
        management = formset.management_form
        sent |= {f"{formset.prefix}-{name}": management[name].value() for name in management.fields}
    return sent


@pytest.mark.django_db
@pytest.mark.parametrize("has_inlines", [True, False])
def test_a_page_opened_before_another_edit_stores_nothing(browse: Browse, has_inlines: bool) -> None:
    policy = stage_policy()
    address, prefix = f"/admin/rollout/stagepolicy/{policy.pk}/change/", ""
    if has_inlines:
        address, prefix = f"/admin/rollout/rollout/{policy.rollout_id}/change/", "policies-0-"
    admin = browse("Admin")
    opened = form_of(admin, address)
    policy.minutes = 20
    policies.save_policies([policy], actor=ANNA)
    response = admin.post(address, opened | {f"{prefix}cool_down_minutes": "3"}, follow=True)
    assert response.redirect_chain == [(address, 302)]
    shown = response.content.decode()
    assert "cannot save derived-data Dark mode: it changed after you opened it: minutes: 10 → 20, by anna" in shown
    assert (stage_policy().minutes, stage_policy().cool_down_minutes) == (20, 15)
    opened = form_of(admin, address)
    assert admin.post(address, opened | {f"{prefix}cool_down_minutes": "3"}).status_code == 302
    assert (stage_policy().minutes, stage_policy().cool_down_minutes, stage_policy().version) == (20, 3, 3)


@pytest.mark.django_db
def test_a_page_of_a_stage_stores_its_policy_and_its_guards_or_nothing(browse: Browse) -> None:
    policy = stage_policy("FULL_ACTIVE")
    address = f"/admin/rollout/stagepolicy/{policy.pk}/change/"
    admin = browse("Admin")
    opened = form_of(admin, address)
    number = next(name for name, value in opened.items() if value == guard_policy("p95_ms").pk).split("-")[1]
    edited = opened | {"minutes": "30", f"guards-{number}-at_most": "700"}
    all_off = {f"guards-{place}-is_on": "" for place in range(6)}
    refused = admin.post(address, edited | all_off, follow=True).content.decode()
    assert "no guard of FULL_ACTIVE could ever be measured" in refused
    assert stage_policy("FULL_ACTIVE").minutes == 10
    assert admin.post(address, edited).status_code == 302
    assert (stage_policy("FULL_ACTIVE").minutes, guard_policy("p95_ms").at_most) == (30, 700)
    assert stage_policy("FULL_ACTIVE").version == 2  # one edit
    assert admin.post(address, form_of(admin, address)).status_code == 302
    assert stage_policy("FULL_ACTIVE").version == 2  # nothing was edited


@pytest.mark.django_db
def test_a_stage_that_could_never_be_judged_is_refused() -> None:
    for name in ("traffic", "errors", "error_rate", "p95_ms"):
        guard = guard_policy(name, "SHADOW_MODE")
        guard.is_on = False
        policies.save_policies([guard], actor=ANNA)
    hit_rate = guard_policy("hit_rate", "SHADOW_MODE")
    hit_rate.leads = "warn"
    policies.save_policies([hit_rate], actor=ANNA)
    mismatch_rate = guard_policy("mismatch_rate", "SHADOW_MODE")
    mismatch_rate.is_on = False
    with pytest.raises(WrongInput, match="no guard of SHADOW_MODE could ever be measured"):
        policies.save_policies([mismatch_rate], actor=ANNA)
    assert guard_policy("mismatch_rate", "SHADOW_MODE").is_on


@given(st.sampled_from([stage for stage in Stage if stage is not Stage.DISABLED]), st.sets(st.sampled_from(Guard)))
def test_another_guard_never_makes_a_stage_unmeasurable(stage: Stage, binding: set[Guard]) -> None:
    def measurable(guards: set[Guard]) -> bool:
        return is_measurable(stage, guards, has_hold_back=False)

    assert measurable(set(Guard))
    assert not measurable({Guard.FEED_HEALTH})
    for guard in Guard:
        assert measurable(binding | {guard}) >= measurable(binding)


def test_what_is_compared_with_control_needs_a_hold_back_in_full_active() -> None:
    compared = {Guard.LATENCY, Guard.OWN_SHARE}
    assert not is_measurable(Stage.FULL_ACTIVE, compared, has_hold_back=False)
    assert is_measurable(Stage.FULL_ACTIVE, compared, has_hold_back=True)


@pytest.mark.django_db
def test_a_viewer_sees_no_version(browse: Browse) -> None:
    shown = browse("Viewer").get(f"/admin/rollout/stagepolicy/{stage_policy().pk}/change/").content.decode()
    assert "field-version" not in shown


@pytest.mark.django_db
def test_an_edit_needs_its_permission(member: Callable[[str], Any]) -> None:
    with pytest.raises(SlipwayError, match=r"lacks the permission rollout\.change_guardpolicy"):
        policies.save_policies([guard_policy("errors")], actor=member("Operator"))
