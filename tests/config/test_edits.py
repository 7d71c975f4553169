"""The audit of the configuration, as its reader sees it: what each edit changed, from what to what, and who made it."""

from collections.abc import Callable

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from pghistory.models import Context

from caching import operations as caches
from caching.models import CachePolicy, CacheTarget
from core.access.actors import Machine
from providers import operations as fleet_operations
from providers.models import ProviderState
from rollout.models import GuardPolicy, Rollout, StagePolicy
from rollout.operations import policies

Browse = Callable[[str], Client]
ANNA = Machine("anna")


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def edit_policy() -> CachePolicy:
    policy = CachePolicy.objects.get(pk="CACHE_PLAYER")
    policy.ttl_hours = 2.5
    caches.save(policy, actor=ANNA)
    return policy


def test_an_objects_history_has_what_was_before_and_after(db: None, browse: Browse) -> None:
    policy = edit_policy()
    viewer, address = browse("Viewer"), f"/admin/caching/cachepolicy/{quote(policy.pk)}/"
    said = page(viewer, f"{address}history/")
    assert '<th scope="row">lifetime, h</th><td>1</td><td>2.5</td>' in said
    assert "by anna" in said
    assert f'href="{address}history/"' in page(viewer, f"{address}change/"), "linked from the object"


def test_an_edit_by_hand_is_told_as_one(db: None, browse: Browse) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE caching_cachepolicy SET grace_hours = 1 WHERE cache_type = 'CACHE_PLAYER'")
    said = page(browse("Viewer"), "/admin/caching/cachepolicy/CACHE_PLAYER/history/")
    assert "by hand, in SQL, by nobody known" in said


def test_a_stage_tells_of_its_guards_and_a_rollout_of_both(db: None, browse: Browse) -> None:
    guard = GuardPolicy.objects.get(policy__stage="SHADOW_MODE", guard="hit_rate")
    guard.at_most, guard.leads = 0.25, "step_back"
    stage = StagePolicy.objects.get(stage="SHADOW_MODE")
    stage.percents, stage.needs_approval = [], True
    policies.save([guard, stage], actor=ANNA)
    viewer = browse("Viewer")
    for address in (f"stagepolicy/{stage.pk}", f"rollout/{Rollout.objects.get().pk}"):
        said = page(viewer, f"/admin/rollout/{address}/history/")
        assert "<td>0.3</td><td>0.25</td>" in said
        assert "<td>to disabled</td><td>one stage back</td>" in said
        assert "<td>no</td><td>yes</td>" in said


def test_one_list_has_all_verbs_and_leads_to_what_they_changed(fleet: None, browse: Browse) -> None:
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    fleet_operations.disable([state.pk], actor=ANNA)
    viewer = browse("Viewer")
    listed = page(viewer, "/admin/pghistory/context/")
    assert "disable" in listed
    address = viewer.get("/admin/").context["changes"]
    [at] = [said.split('href="')[1].split('"')[0] for _, said in address if "configuration: disable" in said]
    said = page(viewer, at)
    assert '<th scope="row">enabled</th><td>yes</td><td>no</td>' in said
    assert f'href="/admin/providers/providerstate/{state.pk}/history/"' in said


def test_what_is_gone_is_still_told_of(db: None, browse: Browse) -> None:
    target = CacheTarget.objects.first()
    assert target is not None
    caches.delete_targets([target.pk], actor=ANNA)
    viewer = browse("Viewer")
    [at] = [said.split('href="')[1].split('"')[0] for _, said in viewer.get("/admin/").context["changes"]]
    said = page(viewer, at)
    assert f"cache target {target.pk} deleted" in said
    assert f'<th scope="row">subject</th><td>{target.subject}</td><td>none</td>' in said, "what it was"


def test_an_act_shows_only_rows_of_tables_that_its_reader_may_see(db: None) -> None:
    edit_policy()
    client = Client()
    user = User.objects.create_user("auditor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_context"))
    client.force_login(user)
    act = Context.objects.get()
    assert "It was never edited" in page(client, f"/admin/pghistory/context/{quote(str(act.pk))}/change/")


def test_a_small_limit_is_not_rounded_away(db: None, browse: Browse) -> None:
    stage = StagePolicy.objects.get(stage="FULL_ACTIVE")
    assert "0.001" in page(browse("Viewer"), f"/admin/rollout/stagepolicy/{stage.pk}/change/")


def test_nobody_reads_what_he_may_not_see(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    policy = edit_policy()
    assert client.get(f"/admin/caching/cachepolicy/{policy.pk}/history/").status_code == 403
    assert client.get("/admin/pghistory/context/").status_code == 403


@pytest.mark.parametrize("verb", ["add", "change", "delete"])
def test_nobody_edits_the_audit(verb: str, db: None, browse: Browse) -> None:
    assert not browse("Admin").get("/admin/").wsgi_request.user.has_perm(f"pghistory.{verb}_context")
