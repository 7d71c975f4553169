"""Mail and webhook: whoever notifies waits for neither, and no failure of theirs reaches it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from django.contrib.auth.models import User
from django.core import mail
from pytest_django import Settings

from core.notices import channels
from core.notices.notify import Event
from tests.conftest import committed
from tests.installation import served_by

HAPPENED = Event("recovery_run", "Emergency 1", "Emergency 1 done after 0.3 s", {"run": 1})


class Hook(BaseHTTPRequestHandler):
    heard: list[dict[str, object]] = []
    status = 204

    def do_POST(self) -> None:
        Hook.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(Hook.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hook(settings: Settings) -> Iterator[None]:
    Hook.heard, Hook.status = [], 204
    with served_by(Hook) as address:
        settings.NOTIFY_WEBHOOK_URL = f"{address}/hook"
        yield


def wait() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("slipway-notify"):
            thread.join()


def test_the_webhook_is_told_as_json(hook: None, caplog: pytest.LogCaptureFixture) -> None:
    channels.by_webhook(HAPPENED)
    wait()
    said = {"kind": "recovery_run", "subject": "Emergency 1", "message": HAPPENED.message, "details": {"run": 1}}
    assert Hook.heard == [said]
    Hook.status = 500
    channels.by_webhook(HAPPENED)
    wait()
    assert "HTTP 500" in caplog.text


def test_one_that_does_not_answer_is_logged_without_its_address(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.NOTIFY_WEBHOOK_URL = "http://127.0.0.1:9/secret"
    channels.by_webhook(HAPPENED)
    wait()
    assert "ConnectionRefusedError" in caplog.text
    assert "secret" not in caplog.text


@committed
def test_staff_with_an_address_get_mail() -> None:
    User.objects.create_user("a", "a@example.org", is_staff=True)
    User.objects.create_user("b", "", is_staff=True)
    User.objects.create_user("c", "c@example.org")
    channels.by_mail(HAPPENED)
    wait()
    [sent] = mail.outbox
    assert (sent.to, sent.subject) == (["a@example.org"], "[Slipway] Emergency 1 done after 0.3 s")
