"""The fleet in the admin, tested through its pages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from core.console.badges import ago
from core.text import elapsed
from providers.models import Event, FetchAttempt, PollSlot, PropLine, Provider, ProviderState, StatusChange

STATES = "/admin/providers/providerstate/"
pytestmark = pytest.mark.django_db


def choose(client: Client, action: str, *states: ProviderState, **further_fields: str) -> str:
    """Choose an action for the states in the list, and return the page that follows."""
    fields = {"action": action, "_selected_action": [state.pk for state in states]} | further_fields
    return client.post(STATES, fields, follow=True).content.decode()


def test_it_shows_the_fleet(fleet: None, browse: Callable[[str], Client]) -> None:
    ProviderState.objects.filter(provider="stub", sport="NBA").update(
        last_successful_fetch=datetime(2026, 1, 5, 12, tzinfo=UTC),
        total_requests=8,
        successful_requests=7,
        last_prop_count=1234,
    )
    with time_machine.travel(datetime(2026, 1, 5, 12, 2, 10, tzinfo=UTC), tick=False):
        response = browse("Viewer").get(STATES)
    page = response.content.decode()
    assert response.context["cl"].result_count == 28
    for text in ("stub NBA", "Active", "●", "2 min ago", "2026-01-05 12:00:00 UTC", "87.5%", "1,234", "no calls yet"):
        assert text in page


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("sport__code__exact=NBA", 7),
        ("provider=stub", 4),
        ("status__exact=active", 4),
        ("is_enabled__exact=1", 12),
        ("q=fan", 4),
    ],
)
def test_the_list_can_be_filtered_and_searched(
    fleet: None, browse: Callable[[str], Client], query: str, count: int
) -> None:
    assert browse("Viewer").get(f"{STATES}?{query}").context["cl"].result_count == count


def test_the_filter_lists_no_providers_if_they_are_many_but_finds_each(
    fleet: None, browse: Callable[[str], Client]
) -> None:
    viewer = browse("Viewer")
    assert "By provider" in viewer.get(STATES).content.decode()
    Provider.objects.bulk_create(Provider(name=f"further-{number}", adapter="odds_api") for number in range(60))
    assert "By provider" not in viewer.get(STATES).content.decode()
    assert viewer.get(f"{STATES}?provider=stub").context["cl"].result_count == 4


VERBS = {
    "enable_providerstate": "Enable",
    "disable_providerstate": "Disable",
    "poll_providerstate": "Poll now",
    "maintain_providerstate": "Set to maintenance",
    "return_providerstate": "Return to service",
}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_asks_for_confirmation_and_names_the_objects(
    verb: str, state: ProviderState, browse: Callable[[str], Client]
) -> None:
    before = ProviderState.objects.values().get(pk=state.pk)
    page = choose(browse("Operator"), verb, state)
    assert f"{VERBS[verb]}: 1 provider state?" in page
    assert "<li>stub NBA</li>" in page
    assert ProviderState.objects.values().get(pk=state.pk) == before


def test_a_confirmed_verb_is_carried_out(state: ProviderState, browse: Callable[[str], Client]) -> None:
    page = choose(browse("Operator"), "maintain_providerstate", state, confirmed="yes")
    assert "Set to maintenance: changed 1 of 1 selected." in page
    assert StatusChange.objects.get().actor == "operator"
    state.refresh_from_db()
    assert state.status == "maintenance"


def test_one_flag_chooses_all_of_a_filtered_list(fleet: None, browse: Callable[[str], Client]) -> None:
    client, first = browse("Operator"), ProviderState.objects.filter(provider="betmgm")[0]
    fields = {"action": "enable_providerstate", "_selected_action": [first.pk], "select_across": "1"}
    url = f"{STATES}?provider=betmgm"
    assert client.post(url, fields).content.decode().count("<li>betmgm") == 4
    client.post(url, fields | {"confirmed": "yes"})
    assert ProviderState.objects.filter(provider="betmgm", is_enabled=True).count() == 4


def test_a_viewer_has_no_verb(state: ProviderState, browse: Callable[[str], Client]) -> None:
    client = browse("Viewer")
    assert "Set to maintenance" not in client.get(STATES).content.decode()
    choose(client, "disable_providerstate", state, confirmed="yes")
    state.refresh_from_db()
    assert state.is_enabled


def test_a_verb_needs_a_post_with_a_token(state: ProviderState, member: Callable[[str], User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(member("Operator"))
    fields = {"action": "disable_providerstate", "_selected_action": [state.pk], "confirmed": "yes"}
    assert client.post(STATES, fields).status_code == 403
    state.refresh_from_db()
    assert state.is_enabled


def edit(client: Client, state: ProviderState, **changes: object) -> str:
    """Save the state's form with these changes, and return the page that follows."""
    fields = {"is_enabled": "on", "timeout_seconds": 10, "max_retries": 1, "capabilities": "{}"}
    url = f"{STATES}{state.pk}/change/"
    return client.post(url, fields | {"poll_interval_seconds": 300} | changes, follow=True).content.decode()


def test_an_admin_edits_an_interval(state: ProviderState, browse: Callable[[str], Client]) -> None:
    assert "was changed successfully" in edit(browse("Admin"), state, poll_interval_seconds=30)
    assert PollSlot.objects.get(base_url="", sport="NBA").interval_seconds == 30


def test_it_refuses_an_interval_of_five_seconds(state: ProviderState, browse: Callable[[str], Client]) -> None:
    assert "greater than or equal to 30" in edit(browse("Admin"), state, poll_interval_seconds=5)
    state.refresh_from_db()
    assert state.poll_interval_seconds == 300


def test_an_operator_reads_but_does_not_edit(state: ProviderState, browse: Callable[[str], Client]) -> None:
    client = browse("Operator")
    assert "stub" in client.get(f"{STATES}{state.pk}/change/").content.decode()
    edit(client, state, poll_interval_seconds=30)
    state.refresh_from_db()
    assert state.poll_interval_seconds == 300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"credential_env": "SECRET_KEY"}, "must name an environment variable that ends in _API_KEY"),
        ({"base_url": "http://169.254.169.254/"}, "must be a public address"),
        ({"base_url": "http://127.0.0.1:5432/"}, "must be a public address"),
    ],
)
def test_it_refuses_to_point_a_provider_at_secrets(
    fleet: None, browse: Callable[[str], Client], changes: dict[str, str], message: str
) -> None:
    fields = {"adapter": "odds_api", "base_url": "", "credential_env": "", "requests_per_minute": 60} | changes
    page = browse("Admin").post("/admin/providers/provider/stub/change/", fields).content.decode()
    assert message in page.replace("Must", "must")
    assert Provider.objects.get(name="stub").credential_env == ""
    assert Provider.objects.get(name="stub").base_url == ""


@pytest.mark.parametrize("model", ["propline", "fetchattempt", "event", "statuschange"])
def test_measurements_are_read_only(model: str, fleet: None, browse: Callable[[str], Client]) -> None:
    client = browse("Admin")
    assert "come" in client.get(f"/admin/providers/{model}/").content.decode()  # it explains where rows come from
    assert client.get(f"/admin/providers/{model}/add/").status_code == 403


def test_it_shows_lines_and_calls(state: ProviderState, browse: Callable[[str], Client]) -> None:
    event = Event.objects.create(
        source="stub",
        external_id="x",
        sport_id="NBA",
        home_team="Home",
        away_team="Away",
        starts_at="2026-01-05T12:00Z",
    )
    line = {"state": state, "event": event, "bookmaker": "fanduel", "market": "player_points", "price": -110}
    PropLine.objects.create(player="A. Player", side="Over", point=22.5, **line)
    FetchAttempt.objects.create(
        slot=PollSlot.objects.get(base_url="", sport="NBA"),
        providers=["stub"],
        sport="NBA",
        path="/v4/x",
        started_at=datetime.now(UTC) - timedelta(seconds=90),
        late_ms=1,
        duration_ms=12,
        outcome="timeout",
        message="no answer within the time limit",
    )
    client = browse("Viewer")
    lines = client.get("/admin/providers/propline/?q=A. Pl").content.decode()
    for text in ("A. Player", "Away at Home", "22.5", "-110", "offered"):
        assert text in lines
    calls = client.get("/admin/providers/fetchattempt/?provider=stub").content.decode()
    for text in ("1 min ago", "Timed out", "⏱", "no answer within the time limit"):
        assert text in calls
    assert "match these filters" in client.get("/admin/providers/fetchattempt/?provider=fanduel").content.decode()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s ago"), (59.9, "59 s ago"), (130, "2 min ago"), (7200, "2 h ago"), (200000, "2 d ago"), (-90, "in 1 min")],
)
def test_elapsed_time_is_written_in_its_largest_unit(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


def test_a_missing_moment_is_never() -> None:
    assert ago(None) == "never"


def test_only_the_admin_has_a_looser_content_security_policy(browse: Callable[[str], Client]) -> None:
    admin = browse("Viewer").get(reverse("admin:index"))["Content-Security-Policy"]
    other = Client().get("/healthz")["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in admin
    assert "unsafe" not in other
    assert "default-src 'none'" in other


def test_a_state_is_deleted_with_its_lines(state: ProviderState, browse: Callable[[str], Client]) -> None:
    event = Event.objects.create(
        source="stub", external_id="x", sport_id="NBA", home_team="H", away_team="A", starts_at="2026-01-05T12:00Z"
    )
    PropLine.objects.create(state=state, event=event, bookmaker="b", market="h2h", side="H", price=100)
    url = f"{STATES}{state.pk}/delete/"
    assert browse("Operator").post(url, {"post": "yes"}).status_code == 403
    client = browse("Admin")
    assert "Lines: 1" in " ".join(client.get(url).content.decode().split())
    page = client.get(f"/admin/providers/provider/{state.provider_id}/delete/").content.decode()
    assert "Provider states: 4" in " ".join(page.split())
    client.post(url, {"post": "yes"})
    assert not PropLine.objects.exists()
    assert not ProviderState.objects.filter(pk=state.pk).exists()


def test_an_admin_cannot_take_over_a_superuser(browse: Callable[[str], Client]) -> None:
    root = User.objects.create_superuser("root", password="not to be taken")
    admin, group = browse("Admin"), Group.objects.get(name="Viewer")
    new = {"password1": "taken over 12", "password2": "taken over 12", "usable_password": "true"}
    assert admin.post(f"/admin/auth/user/{root.pk}/password/", new).status_code == 403
    assert admin.post(f"/admin/auth/user/{root.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"})
    permission = Permission.objects.get(codename="delete_user")
    admin.post(f"/admin/auth/group/{group.pk}/change/", {"name": "Viewer", "permissions": [permission.pk]})
    root.refresh_from_db()
    assert root.check_password("not to be taken")
    assert permission not in group.permissions.all()


def test_an_admin_cannot_make_superusers(browse: Callable[[str], Client]) -> None:
    client, user = browse("Admin"), User.objects.get(username="admin")
    fields = {"username": "admin", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    client.post(f"/admin/auth/user/{user.pk}/change/", fields)
    user.refresh_from_db()
    assert not user.is_superuser
