"""The home page: whether everything is well, in few queries, and nothing that its reader may not see."""

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


def test_it_names_the_commands_that_make_missing_data(db: None, browse: Callable[[str], Client]) -> None:
    html = page(browse("Viewer"))
    for text in ("backfill_providers", "manage.py validate", "manage.py snapshot create", "never rehearsed"):
        assert text in html
    assert "derived-data" in html
    assert "Derived sports data" in html, "the branding"


def test_it_shows_the_state_of_every_part(fleet: None, browse: Callable[[str], Client]) -> None:
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
    html = page(viewer)
    assert 'hx-trigger="every 3s' in html, "something moves"
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
        assert text in html
    assert page(viewer, LIVE).startswith('<div id="home"')


def test_the_time_left_is_that_of_the_rollouts_pace(fleet: None, browse: Callable[[str], Client]) -> None:
    lifecycle.start(Rollout.objects.get(), actor=SYSTEM, reason="", pace=0.5)
    assert "4:59 left" in page(browse("Viewer"))


def test_if_nothing_moves_it_refreshes_once_a_minute(fleet: None, browse: Callable[[str], Client]) -> None:
    viewer = browse("Viewer")
    assert 'hx-trigger="every 60s' in page(viewer)
    WarmUp.objects.create(targets=[1], total=1, requested_by="ada")
    assert 'hx-trigger="every 3s' in page(viewer)


def test_it_shows_only_the_states_in_error_of_a_large_fleet(fleet: None, browse: Callable[[str], Client]) -> None:
    Sport.objects.bulk_create(Sport(code=f"S{n}", name="x") for n in range(200))
    states = [ProviderState(provider_id="stub", sport_id=f"S{n}", status="active") for n in range(200)]
    ProviderState.objects.bulk_create(states)
    ProviderState.objects.filter(provider="stub", sport="S7").update(status="error", is_enabled=True)
    html = page(browse("Viewer"), LIVE)
    assert "In error:" in html
    assert 'aria-label="stub S7: Error"' in html
    assert "S8" not in html


def test_it_takes_at_most_twenty_queries(fleet: None, browse: Callable[[str], Client]) -> None:
    viewer = browse("Viewer")
    RecoveryRun.objects.create(kind="standard", outcome="done", is_rehearsal=True, actor="a", ended_at=Now())
    with CaptureQueriesContext(connection) as queries:
        page(viewer)
    frame = ("SAVEPOINT", "RELEASE SAVEPOINT", "SELECT current_setting('lock_timeout')")  # of a limited wait for locks
    reads = [query["sql"][:90] for query in queries if not query["sql"].startswith(frame)]
    assert len(reads) <= 20, reads


def test_a_user_without_permissions_sees_nothing(fleet: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("guest", is_staff=True))
    html = page(client, LIVE)
    assert "derived-data" not in html
    assert "Fleet" not in html
    assert Client().get(LIVE).status_code == 302


@pytest.mark.parametrize("days", [2, 40])
def test_only_changes_of_the_last_day_are_listed(fleet: None, browse: Callable[[str], Client], days: int) -> None:
    RecoveryRun.objects.create(
        kind="standard", outcome="done", actor="ada", ended_at=Now(), started_at=Now() - timedelta(days=days)
    )
    assert "by ada" not in page(browse("Viewer"), LIVE)


def healthy() -> None:
    """Store a good result of everything that the home page reads, as of now."""
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


def test_all_is_well_if_everything_was_measured(fleet: None, browse: Callable[[str], Client]) -> None:
    viewer = browse("Viewer")
    html = page(viewer)
    assert WELL not in html, "nothing measured is never a pass"
    for problem in ("Exit criteria: not run yet", "No snapshot in the last 26 h", "emergency, standard, gradual"):
        assert problem in html
    healthy()
    assert WELL in page(viewer)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda: ValidationRun.objects.filter(suite="extended").update(overall="FAIL", passed=0), "0 of 1 passed"),
        (lambda: ValidationRun.objects.update(started_at=Now() - timedelta(hours=1)), "no run in the last 20 min"),
        (lambda: Snapshot.objects.update(created_at=Now() - timedelta(days=2)), "No snapshot in the last 26 h"),
        (lambda: Snapshot.objects.update(problem="cut"), "Snapshot a is damaged"),
        (
            lambda: RecoveryRun.objects.filter(kind="gradual").update(outcome="failed"),
            "Rehearsal missing, failed or too old: gradual",
        ),
        (lambda: ProviderState.objects.filter(provider="stub").update(status="error"), "Provider states in error: 4"),
        (lambda: Rollout.objects.update(run_state="waiting", stage="DARK_MODE"), "derived-data: waits for approval"),
        (lambda: Activation.objects.filter(part=Part.WARMING).update(is_on=False), "Warming is off since"),
    ],
)
def test_each_problem_is_named(
    spoil: Callable[[], object], problem: str, fleet: None, browse: Callable[[str], Client]
) -> None:
    viewer = browse("Viewer")
    healthy()
    spoil()
    html = page(viewer)
    assert problem in html
    assert WELL not in html


def test_a_user_who_cannot_see_every_part_does_not_read_that_all_is_well(fleet: None) -> None:
    healthy()
    client = Client()
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert WELL not in page(client)
