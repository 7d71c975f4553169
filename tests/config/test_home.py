"""The admin's home page: whether all is well, in few queries, and nothing that its reader may not see."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from caching.models import WarmUp
from core.access.actors import SYSTEM
from core.switches import Part
from providers.models import ProviderState, Sport, StatusChange
from rollout.gate import heartbeat
from rollout.models import LEVELS, Activation, RecoveryRun, Rollout, Snapshot
from rollout.operations import lifecycle
from validation.models import ValidationRun

HOME, LIVE = "/admin/", "/admin/live/"


def page(client: Client, address: str = HOME) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_it_says_how_to_get_data_where_there_is_none(db: None, browse: Callable[[str], Client]) -> None:
    said = page(browse("Viewer"))
    for text in ("backfill_providers", "manage.py validate", "manage.py snapshot create", "never rehearsed"):
        assert text in said
    assert "derived-data" in said
    assert "Derived sports data" in said, "the branding"


def test_it_shows_where_everything_stands(fleet: None, browse: Callable[[str], Client]) -> None:
    viewer = browse("Viewer")
    lifecycle.start(Rollout.objects.get(), actor=SYSTEM, reason="a test")
    ProviderState.objects.filter(provider="fanduel", sport="NBA").update(status="error")
    made = {"name": "a", "host": "h", "folder": "f", "tables": 1, "rows": 16144, "size_bytes": 1, "seconds": 1.0}
    Snapshot.objects.create(**made)
    Activation.objects.filter(part=Part.POLLING).update(is_on=False, by="ada", reason="an incident")
    RecoveryRun.objects.create(kind="standard", outcome="done", actor="ada", ended_at=Now())
    StatusChange.objects.create(
        provider_name="stub", sport="NBA", from_status="error", to_status="active", cause="a good fetch", actor="system"
    )
    said = page(viewer)
    assert 'hx-trigger="every 3s' in said, "something moves"
    for text in (
        'aria-current="step"',
        "9:59 left",
        'aria-label="fanduel NBA: Error"',
        "16,144 rows",
        "not read back yet",
        "Polling is off since",
        "by ada: an incident",
        "a good fetch",
        "start",
    ):
        assert text in said
    assert page(viewer, LIVE).startswith('<div id="home"')


def test_where_nothing_moves_it_asks_once_a_minute(fleet: None, browse: Callable[[str], Client]) -> None:
    viewer = browse("Viewer")
    assert 'hx-trigger="every 60s' in page(viewer)
    WarmUp.objects.create(targets=[1], total=1, requested_by="ada")
    assert 'hx-trigger="every 3s' in page(viewer)


def test_of_a_large_fleet_it_shows_what_is_in_trouble(fleet: None, browse: Callable[[str], Client]) -> None:
    Sport.objects.bulk_create(Sport(code=f"S{n}", name="x") for n in range(200))
    states = [ProviderState(provider_id="stub", sport_id=f"S{n}", status="active") for n in range(200)]
    ProviderState.objects.bulk_create(states)
    ProviderState.objects.filter(provider="stub", sport="S7").update(status="error", is_enabled=True)
    said = page(browse("Viewer"), LIVE)
    assert "In trouble:" in said
    assert 'aria-label="stub S7: Error"' in said
    assert "S8" not in said


def test_it_takes_at_most_twenty_queries(fleet: None, browse: Callable[[str], Client]) -> None:
    viewer = browse("Viewer")
    RecoveryRun.objects.create(kind="standard", outcome="done", is_rehearsal=True, actor="a", ended_at=Now())
    with CaptureQueriesContext(
        connection,
    ) as asked:
        page(viewer)
    assert len(asked) <= 20, [query["sql"][:90] for query in asked]


def test_who_may_see_nothing_sees_nothing(fleet: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("guest", is_staff=True))
    said = page(client, LIVE)
    assert "derived-data" not in said
    assert "Fleet" not in said
    assert Client().get(LIVE).status_code == 302


@pytest.mark.parametrize("days", [2, 40])
def test_only_the_last_day_counts(fleet: None, browse: Callable[[str], Client], days: int) -> None:
    RecoveryRun.objects.create(
        kind="standard", outcome="done", actor="ada", ended_at=Now(), started_at=Now() - timedelta(days=days)
    )
    assert "by ada" not in page(browse("Viewer"), LIVE)


def healthy() -> None:
    """Everything that home asks for, of just now."""
    for suite in ("exit", "extended"):
        ValidationRun.objects.create(suite=suite, overall="PASS", total=1, passed=1)
    made = {"name": "a", "host": "h", "folder": "f", "tables": 1, "rows": 1, "size_bytes": 1, "seconds": 1.0}
    Snapshot.objects.create(**made, verified_at=Now())
    for level in LEVELS:
        RecoveryRun.objects.create(
            kind=level, outcome="done", is_rehearsal=True, promised_seconds=900, ended_at=Now(), actor="a"
        )
    heartbeat.beat()


WELL = "All is well."


def test_all_is_well_when_all_was_measured(fleet: None, browse: Callable[[str], Client]) -> None:
    viewer = browse("Viewer")
    said = page(viewer)
    assert WELL not in said, "nothing measured is never a pass"
    for need in ("Exit criteria not looked at yet", "No snapshot of the last day", "emergency, standard, gradual"):
        assert need in said
    healthy()
    assert WELL in page(viewer)


@pytest.mark.parametrize(
    ("spoil", "need"),
    [
        (lambda: ValidationRun.objects.filter(suite="extended").update(overall="FAIL", passed=0), "0 of 1 passed"),
        (lambda: ValidationRun.objects.update(started_at=Now() - timedelta(hours=1)), "not looked at lately"),
        (lambda: Snapshot.objects.update(created_at=Now() - timedelta(days=2)), "No snapshot of the last day"),
        (lambda: Snapshot.objects.update(problem="cut"), "Snapshot a is damaged"),
        (lambda: RecoveryRun.objects.filter(kind="gradual").update(outcome="failed"), "Not rehearsed well: gradual"),
        (lambda: ProviderState.objects.filter(provider="stub").update(status="error"), "4 in error"),
        (lambda: Rollout.objects.update(run_state="waiting", stage="DARK_MODE"), "derived-data: waits for approval"),
        (lambda: Activation.objects.filter(part=Part.WARMING).update(is_on=False), "Warming is off since"),
    ],
)
def test_what_is_not_well_is_named(
    spoil: Callable[[], object], need: str, fleet: None, browse: Callable[[str], Client]
) -> None:
    viewer = browse("Viewer")
    healthy()
    spoil()
    said = page(viewer)
    assert need in said
    assert WELL not in said


def test_who_sees_little_is_not_told_that_all_is_well(fleet: None) -> None:
    healthy()
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    assert WELL not in page(client)
