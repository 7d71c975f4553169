"""The snapshots in the admin: which ones can be relied on, and how to create another one."""

from collections.abc import Callable

import pytest
from django.test import Client
from kombu.exceptions import OperationalError

from config.celery import app
from core.access.actors import SYSTEM
from rollout.models import Snapshot
from rollout.recovery.snapshots import operations
from rollout.tasks import make_snapshot
from tests.conftest import committed

pytestmark = [committed, pytest.mark.usefixtures("fleet")]
LIST = "/admin/rollout/snapshot/"


def test_the_list_shows_which_snapshots_can_be_relied_on(browse: Callable[[str], Client]) -> None:
    viewer = browse("Viewer")
    assert "Make one: <code>python manage.py snapshot create</code>" in viewer.get(LIST).content.decode()
    snapshot = operations.create(actor=SYSTEM, reason="a test")
    assert "not read back yet" in viewer.get(LIST).content.decode()
    operations.verify(snapshot, actor=SYSTEM)
    assert "✓</span> read back" in viewer.get(LIST).content.decode()
    Snapshot.objects.update(problem="it was cut")
    assert "damaged" in viewer.get(LIST).content.decode()
    assert viewer.get(f"{LIST}{snapshot.pk}/change/").status_code == 200


def test_the_admin_asks_a_worker_for_a_snapshot(
    browse: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, sent = browse("Operator"), []
    monkeypatch.setattr(app, "send_task", lambda name, args, **options: sent.append((name, args)))
    assert "whole" in operator.get(f"{LIST}create/").content.decode()
    assert sent == []
    page = operator.post(f"{LIST}create/", {"reason": "before the upgrade"}, follow=True)
    assert "A worker creates the snapshot" in page.content.decode()
    [(name, args)] = sent
    assert name == make_snapshot.name
    make_snapshot(*args)
    snapshot = Snapshot.objects.get()
    assert (snapshot.made_by, snapshot.reason, snapshot.state) == ("operator", "before the upgrade", "read back")
    assert browse("Viewer").post(f"{LIST}create/").status_code == 403


def test_without_a_broker_the_admin_promises_no_snapshot(
    browse: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(app, "send_task", refuse)
    page = browse("Operator").post(f"{LIST}create/", {"reason": ""}, follow=True)
    assert "cannot ask a worker for a snapshot" in page.content.decode()
