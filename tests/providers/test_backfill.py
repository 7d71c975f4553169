"""The backfill of the fleet from the catalogue."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Count, Q

from core.errors import Refused
from providers.fleet.backfill import CATALOGUE, backfill
from providers.models import PollSlot, Provider, ProviderState

pytestmark = pytest.mark.django_db


def run(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    call_command("backfill_providers", *args, "--json")
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def counts(document: dict[str, Any]) -> tuple[int, int, int, int]:
    return document["created"], document["updated"], document["unchanged"], document["total"]


def test_it_creates_the_catalogue_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert counts(run(capsys)) == (28, 0, 0, 28)
    assert counts(run(capsys)) == (0, 0, 28, 28)


def test_it_leaves_the_fleet_as_designed(fleet: None) -> None:
    per_sport = ProviderState.objects.values_list("sport").annotate(
        providers=Count("pk"),
        enabled=Count("pk", filter=Q(is_enabled=True)),
        active=Count("pk", filter=Q(status="active")),
    )
    assert set(per_sport) == {(sport, 7, 3, 1) for sport in ("MLB", "NBA", "NFL", "NHL")}
    columns = ("poll_interval_seconds", "timeout_seconds", "max_retries", "provider__requests_per_minute")
    rows = ProviderState.objects.values_list("provider", *columns)
    assert set(rows) == {
        ("stub", 300, 10, 1, 60),
        ("draftkings", 60, 30, 3, 120),
        ("fanduel", 60, 30, 3, 120),
        ("prizepicks", 120, 45, 3, 60),
        ("betmgm", 60, 30, 3, 100),
        ("theodds", 90, 60, 2, 30),
        ("sportsradar", 30, 30, 3, 300),
    }


def test_it_gives_states_of_one_account_and_sport_one_slot(fleet: None) -> None:
    slots = PollSlot.objects.exclude(next_poll_at=None).values_list("base_url", "sport", "interval_seconds")
    real = "https://api.the-odds-api.com"
    expected = {(url, sport, s) for url, s in (("", 300), (real, 60)) for sport in ("MLB", "NBA", "NFL", "NHL")}
    assert set(slots) == expected


def test_it_keeps_an_operators_edit(fleet: None, state: ProviderState, capsys: pytest.CaptureFixture[str]) -> None:
    ProviderState.objects.filter(pk=state.pk).update(poll_interval_seconds=45)
    assert counts(run(capsys)) == (0, 0, 28, 28)
    state.refresh_from_db()
    assert state.poll_interval_seconds == 45


def test_it_resets_edits_on_request(fleet: None, state: ProviderState, capsys: pytest.CaptureFixture[str]) -> None:
    ProviderState.objects.filter(pk=state.pk).update(poll_interval_seconds=45, total_requests=9)
    Provider.objects.filter(name="betmgm").update(requests_per_minute=1)
    document = run(capsys, "--reset")
    assert counts(document) == (0, 5, 23, 28)
    assert document["updated_states"] == ["betmgm/MLB", "betmgm/NBA", "betmgm/NFL", "betmgm/NHL", "stub/NBA"]
    state.refresh_from_db()
    assert (state.poll_interval_seconds, state.total_requests) == (300, 9)


def test_it_shows_the_plan_and_changes_nothing(fleet: None, capsys: pytest.CaptureFixture[str]) -> None:
    ProviderState.objects.filter(provider="stub").delete()
    assert counts(run(capsys, "--dry-run")) == (4, 0, 24, 28)
    assert ProviderState.objects.count() == 24


def test_it_can_be_limited_to_a_scope(capsys: pytest.CaptureFixture[str]) -> None:
    assert counts(run(capsys, "--sport", "nba", "--provider", "stub")) == (1, 0, 0, 1)
    assert counts(run(capsys, "--sport", "NBA")) == (6, 0, 1, 7)
    assert Provider.objects.count() == 7


def test_it_refuses_a_scope_that_the_catalogue_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="cannot find CRICKET in the catalogue") as caught:
        run(capsys, "--sport", "cricket")
    assert caught.value.returncode == 2


def test_it_names_rows_that_the_catalogue_does_not_know(fleet: None, capsys: pytest.CaptureFixture[str]) -> None:
    other = Provider.objects.create(name="mine", adapter="odds_api")
    ProviderState.objects.create(provider=other, sport_id="NBA")
    assert run(capsys)["unknown"] == ["mine/NBA"]


def entry(**changes: Any) -> dict[str, Any]:
    return {"provider_name": "stub", "sport": "NBA", "poll_interval_seconds": 60} | changes


@pytest.mark.parametrize(
    ("catalogue", "message"),
    [
        ({"states": [entry(), entry(sport="CRICKET")]}, r"states\[1\]\.sport: unknown sport CRICKET"),
        ({"states": [entry(provider_name="nobody")]}, r"states\[0\]\.provider_name: unknown provider nobody"),
        ({"states": [entry(), entry()]}, r"states\[1\]: stub/NBA is already in states\[0\]"),
        ({"states": [entry(poll_interval_seconds=5)]}, r"states\[0\]\.poll_interval_seconds: expected `int` >= 30"),
        ({"states": [entry(interval=5)]}, r"states\[0\]: object contains unknown field `interval`"),
        (
            {"providers": [{"name": "x", "adapter": "telepathy"}]},
            r"providers\[0\]\.adapter \(x\): Must be the name of an installed adapter: "
            r"odds_api, prizepicks, sportradar \(got telepathy\)",
        ),
        (
            {"providers": [{"name": "x", "adapter": "odds_api", "credential_env": "SECRET_KEY"}]},
            r"providers\[0\]\.credential_env \(x\): Must name an environment variable that ends in _API_KEY",
        ),
        (
            {"providers": [{"name": "x", "adapter": "odds_api", "base_url": "http://169.254.169.254/"}]},
            r"providers\[0\]\.base_url \(x\): Must be a public address",
        ),
        ([], "top level: expected `object`, got `array`"),
    ],
)
def test_it_refuses_a_bad_catalogue_by_entry_and_field(
    fleet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], catalogue: object, message: str
) -> None:
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(catalogue))
    before = list(ProviderState.objects.values_list("pk", "updated_at"))
    with pytest.raises(CommandError, match=message) as caught:
        run(capsys, "--file", str(file), "--reset")
    assert caught.value.returncode == 2
    assert list(ProviderState.objects.values_list("pk", "updated_at")) == before


@pytest.mark.parametrize("text", ["", "{", "\xff", '{"states": [}'])
def test_it_refuses_text_that_is_not_json(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    file = tmp_path / "catalogue.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(CommandError, match="not valid JSON"):
        run(capsys, "--file", str(file))


def test_it_reads_another_catalogue(fleet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = {
        "providers": [{"name": "mine", "adapter": "odds_api", "base_url": "https://odds.example.com"}],
        "states": [entry(provider_name="mine", is_enabled=True)],
    }
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(mine))
    document = run(capsys, "--file", str(file))
    assert (document["created"], len(document["unknown"])) == (1, 28)


def test_the_error_names_a_file_that_it_cannot_read() -> None:
    with pytest.raises(CommandError, match="cannot read /nowhere"):
        call_command("backfill_providers", "--file", "/nowhere")


def test_the_audit_names_the_actor_of_the_backfill(fleet: None, state: ProviderState) -> None:
    event = apps.get_model("providers", "ProviderStateEvent").objects.get(pgh_obj=state.pk)
    assert event.pgh_context.metadata == {"actor": "system", "verb": "backfill"}


def test_it_refuses_a_viewer(member: Callable[[str], User]) -> None:
    with pytest.raises(Refused, match="viewer lacks the permission"):
        backfill(CATALOGUE.read_bytes(), actor=member("Viewer"))
