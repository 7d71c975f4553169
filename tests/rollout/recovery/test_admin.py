"""Recovery in the admin: the levels with their promise and rehearsal, each run step by step, and its verbs."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client

from caching.models import CacheEntry
from core.access.actors import SYSTEM
from rollout.choices import RunKind, RunOutcome
from rollout.models import Activation, RecoveryRun
from rollout.recovery import background, operations
from tests.rollout.recovery.conftest import activate_fully, contents
from tests.rollout.recovery.people import member

__all__ = ["member"]

LIST = "/admin/rollout/recoveryrun/"


@pytest.fixture(autouse=True)
def run_in_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute runs in the request's thread, so that nothing outlives a test."""
    monkeypatch.setattr(background, "execute_in_background", execute_unless_gradual)


def execute_unless_gradual(run: RecoveryRun) -> None:
    if run.kind != RunKind.GRADUAL:
        background.execute_and_disconnect(run)


def page(client: Client, address: str = LIST) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return str(response.content.decode())


def test_each_level_shows_its_promise_and_its_last_rehearsal(
    installation: None, browse: Callable[[str], Client]
) -> None:
    operator, viewer = browse("Operator"), browse("Viewer")
    assert page(operator).count("never rehearsed") == 3
    assert "promised within 5 min" in page(viewer)
    assert "begin-emergency" in page(operator)
    assert "begin-emergency" not in page(viewer)
    run = RecoveryRun.objects.create(
        kind=RunKind.STANDARD,
        outcome=RunOutcome.DONE,
        is_rehearsal=True,
        promised_seconds=900,
        ended_at=Now(),
        actor="a",
    )
    assert 'sw-green">✓ rehearsed' in page(viewer)
    RecoveryRun.objects.filter(pk=run.pk).update(promised_seconds=0, started_at=Now() - timedelta(seconds=9))
    assert 'sw-red">✕ rehearsed' in page(viewer)
    old = Now() - timedelta(days=31)
    RecoveryRun.objects.filter(pk=run.pk).update(promised_seconds=900, started_at=old, ended_at=old)
    assert 'sw-red">✕ rehearsed' in page(viewer)


def test_an_emergency_and_its_undo(installation: None, browse: Callable[[str], Client]) -> None:
    activate_fully()
    before, operator = contents(), browse("Operator")
    confirmation = page(operator, f"{LIST}begin/emergency/")
    assert "Move provider states, cache entries and the tables that reference them to a quarantine" in confirmation
    refused = operator.post(f"{LIST}begin/emergency/", {"reason": "wrong odds", "typed": "standard"})
    assert "The text must be emergency" in refused.content.decode()
    assert not RecoveryRun.objects.exists()
    response = operator.post(f"{LIST}begin/emergency/", {"reason": "wrong odds", "typed": "emergency"})
    run = RecoveryRun.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"{LIST}{run.pk}/change/")
    assert (run.outcome, run.actor, run.reason) == (RunOutcome.DONE, "operator", "wrong odds")
    assert not CacheEntry.objects.exists()
    text = page(operator, f"{LIST}{run.pk}/change/")
    assert all(part in text for part in ("Switch off", "promised 5 min", "✓</span> kept", "verb-undo", "verb-purge"))
    assert "is off since" in page(operator)
    operator.post(f"{LIST}{run.pk}/undo/", {"reason": "", "typed": "undo"})
    assert contents() == before
    assert "verb-undo" not in page(operator, f"{LIST}{run.pk}/change/")
    assert page(operator, f"{LIST}{run.pk}/live/").count("<li>") == 5


def test_parts_are_switched_on_again(installation: None, browse: Callable[[str], Client]) -> None:
    operations.execute_run(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
    operator = browse("Operator")
    assert 'id="reactivate"' in page(operator)
    assert "Polling is off since" in page(operator, f"{LIST}reactivate/")
    assert browse("Viewer").post(f"{LIST}reactivate/").status_code == 403
    response = operator.post(f"{LIST}reactivate/", {"reason": "over"}, follow=True)
    assert "Switched on: polling, warming" in response.content.decode()
    assert 'id="reactivate"' not in page(operator)
    assert Activation.objects.get(part="polling").reason == "over"


def test_a_gradual_rollback_can_be_paused(installation: None, browse: Callable[[str], Client]) -> None:
    activate_fully()
    operator = browse("Operator")
    operator.post(f"{LIST}begin/gradual/", {"reason": "", "typed": "gradual"})
    operations.recover()
    run = RecoveryRun.objects.get()
    text = page(operator, f"{LIST}{run.pk}/change/")
    assert "Partially active, 50 %" in text
    assert text.count("to come") == 6
    operator.post(f"{LIST}{run.pk}/pause/", {"typed": "pause"})
    run.refresh_from_db()
    assert run.outcome == RunOutcome.PAUSED
    assert "verb-resume" in page(operator, f"{LIST}{run.pk}/change/")
    operator.post(f"{LIST}{run.pk}/resume/", {"typed": "resume"})
    run.refresh_from_db()
    assert run.outcome == RunOutcome.RUNNING


def test_an_emergency_before_a_gradual_rollback_can_still_be_undone(
    installation: None, browse: Callable[[str], Client]
) -> None:
    emergency = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    gradual = operations.roll_back(RunKind.GRADUAL, actor=SYSTEM)
    operations.recover()
    operator = browse("Operator")
    assert RecoveryRun.objects.get(pk=gradual.pk).outcome == RunOutcome.DONE
    assert "verb-undo" in page(operator, f"{LIST}{emergency.pk}/change/")
    operator.post(f"{LIST}{emergency.pk}/undo/", {"typed": "undo"})
    assert RecoveryRun.objects.get(kind=RunKind.UNDO).undoes == emergency
    assert "verb-undo" not in page(operator, f"{LIST}{emergency.pk}/change/")


def test_a_purge(installation: None, browse: Callable[[str], Client]) -> None:
    run = operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))
    operator = browse("Operator")
    operator.post(f"{LIST}{run.pk}/purge/", {"typed": "purge"})
    assert RecoveryRun.objects.get(kind=RunKind.PURGE).outcome == RunOutcome.DONE
    response = operator.post(f"{LIST}{run.pk}/purge/", {"typed": "purge"}, follow=True)
    assert "holds nothing in quarantine" in response.content.decode()


@pytest.mark.parametrize("verb", ["begin/emergency", "begin/standard", "begin/gradual", "1/undo", "1/purge", "1/pause"])
def test_a_viewer_can_do_nothing(installation: None, browse: Callable[[str], Client], verb: str) -> None:
    RecoveryRun.objects.create(pk=1, kind=RunKind.EMERGENCY, outcome=RunOutcome.DONE, ended_at=Now(), actor="a")
    assert browse("Viewer").post(f"{LIST}{verb}/", {"typed": verb.rpartition("/")[2]}).status_code == 403
