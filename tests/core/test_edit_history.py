"""The history of configuration rows names each edit's actor, and the values before and after."""

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
    caches.save_configuration(policy, actor=ANNA)
    return policy


def newest_edit_address(client: Client, text: str = "") -> str:
    """Return the address that the home page links for the one change whose text contains `text`."""
    [link] = [html for _, html in client.get("/admin/").context["changes"] if text in html]
    return str(link.split('href="')[1].split('"')[0])


def test_a_rows_history_shows_the_values_before_and_after(db: None, browse: Browse) -> None:
    policy = edit_policy()
    viewer, address = browse("Viewer"), f"/admin/caching/cachepolicy/{quote(policy.pk)}/"
    history = page(viewer, f"{address}history/")
    assert '<th scope="row">lifetime, h</th><td>1</td><td>2.5</td>' in history
    assert "by anna" in history
    assert f'href="{address}history/"' in page(viewer, f"{address}change/"), "the row's page links its history"


def test_an_edit_in_sql_is_named_as_one(db: None, browse: Browse) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE caching_cachepolicy SET grace_hours = 1 WHERE cache_type = 'CACHE_PLAYER'")
    history = page(browse("Viewer"), "/admin/caching/cachepolicy/CACHE_PLAYER/history/")
    assert "SQL statement, by an unknown actor" in history


def test_the_history_of_a_stage_includes_its_guards_and_that_of_a_rollout_both(db: None, browse: Browse) -> None:
    guard = GuardPolicy.objects.get(policy__stage="SHADOW_MODE", guard="hit_rate")
    leads_before = guard.get_leads_display()
    guard.at_most, guard.leads = 0.25, "step_back"
    stage = StagePolicy.objects.get(stage="SHADOW_MODE")
    stage.percents, stage.needs_approval = [], True
    policies.save_policies([guard, stage], actor=ANNA)
    viewer = browse("Viewer")
    for address in (f"stagepolicy/{stage.pk}", f"rollout/{Rollout.objects.get().pk}"):
        history = page(viewer, f"/admin/rollout/{address}/history/")
        assert "<td>0.3</td><td>0.25</td>" in history
        assert f"<td>{leads_before}</td><td>{guard.get_leads_display()}</td>" in history
        assert "<td>no</td><td>yes</td>" in history


def test_one_list_shows_the_edits_of_all_tables_and_links_the_edited_rows(fleet: None, browse: Browse) -> None:
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    fleet_operations.disable([state.pk], actor=ANNA)
    viewer = browse("Viewer")
    assert "disable" in page(viewer, "/admin/pghistory/context/")
    edit = page(viewer, newest_edit_address(viewer, "configuration: disable"))
    assert '<th scope="row">enabled</th><td>yes</td><td>no</td>' in edit
    assert f'href="/admin/providers/providerstate/{state.pk}/history/"' in edit


def test_the_edit_of_a_deleted_row_shows_its_values(db: None, browse: Browse) -> None:
    target = CacheTarget.objects.first()
    assert target is not None
    caches.delete_targets([target.pk], actor=ANNA)
    viewer = browse("Viewer")
    edit = page(viewer, newest_edit_address(viewer))
    assert f"cache target {target.pk} deleted" in edit
    assert f'<th scope="row">subject</th><td>{target.subject}</td><td>none</td>' in edit, "the deleted value"


def test_an_edit_shows_only_rows_of_tables_that_its_reader_may_view(db: None) -> None:
    edit_policy()
    client = Client()
    user = User.objects.create_user("auditor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_context"))
    client.force_login(user)
    context = Context.objects.get()
    assert "No edits." in page(client, f"/admin/pghistory/context/{quote(str(context.pk))}/change/")


def test_a_small_limit_is_not_rounded_to_zero(db: None, browse: Browse) -> None:
    stage = StagePolicy.objects.get(stage="FULL_ACTIVE")
    stage.guards.filter(guard="error_rate").update(at_most=0.001)
    assert "0.001" in page(browse("Viewer"), f"/admin/rollout/stagepolicy/{stage.pk}/change/")


def test_a_user_without_the_permission_reads_no_history(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    policy = edit_policy()
    assert client.get(f"/admin/caching/cachepolicy/{policy.pk}/history/").status_code == 403
    assert client.get("/admin/pghistory/context/").status_code == 403


@pytest.mark.parametrize("verb", ["add", "change", "delete"])
def test_no_user_may_edit_the_audit(verb: str, db: None, browse: Browse) -> None:
    assert not browse("Admin").get("/admin/").wsgi_request.user.has_perm(f"pghistory.{verb}_context")
