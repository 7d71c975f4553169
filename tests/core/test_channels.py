"""Mail and webhook deliver in threads of their own, and their failures never reach the caller of `notify`."""

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

EVENT = Event("recovery_run", "Emergency 1", "Emergency 1 done after 0.3 s", {"run": 1})


class Webhook(BaseHTTPRequestHandler):
    received: list[dict[str, object]] = []
    status = 204

    def do_POST(self) -> None:
        Webhook.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(Webhook.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def webhook(settings: Settings) -> Iterator[None]:
    Webhook.received, Webhook.status = [], 204
    with served_by(Webhook) as address:
        settings.NOTIFY_WEBHOOK_URL = f"{address}/hook"
        yield


def wait_for_deliveries() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("slipway-notify"):
            thread.join()


def test_the_webhook_receives_json(webhook: None, caplog: pytest.LogCaptureFixture) -> None:
    channels.by_webhook(EVENT)
    wait_for_deliveries()
    document = {"kind": "recovery_run", "subject": "Emergency 1", "message": EVENT.message, "details": {"run": 1}}
    assert Webhook.received == [document]
    Webhook.status = 500
    channels.by_webhook(EVENT)
    wait_for_deliveries()
    assert "HTTP 500" in caplog.text


def test_a_webhook_that_does_not_answer_is_logged_without_its_address(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.NOTIFY_WEBHOOK_URL = "http://127.0.0.1:9/secret"
    channels.by_webhook(EVENT)
    wait_for_deliveries()
    assert "ConnectionRefusedError" in caplog.text
    assert "secret" not in caplog.text


@committed
def test_staff_with_an_address_get_mail() -> None:
    User.objects.create_user("a", "a@example.org", is_staff=True)
    User.objects.create_user("b", "", is_staff=True)
    User.objects.create_user("c", "c@example.org")
    channels.by_mail(EVENT)
    wait_for_deliveries()
    [sent] = mail.outbox
    assert (sent.to, sent.subject) == (["a@example.org"], "[Slipway] Emergency 1 done after 0.3 s")
