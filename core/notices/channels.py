"""How people are told beside the log: by mail, to staff who have an address, and by a webhook. Each in a thread of its
own, so that whoever notifies waits for no mail server; the process waits for it as it ends.
"""

import json
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.db import connection

from core.http.client import connection_to
from core.notices.notify import Event
from core.redaction import redact

TIMEOUT_SECONDS = 10.0
log = structlog.get_logger("slipway.notify")


def by_mail(event: Event) -> None:
    _beside(_mail, event)


def by_webhook(event: Event) -> None:
    _beside(_post, event)


def _beside(send: Callable[[Event], None], event: Event) -> None:
    def run() -> None:
        try:
            send(event)
        except Exception as error:  # a channel that fails is logged; the address may hold a secret
            log.warning("a channel failed", channel=send.__name__, kind=event.kind, error=type(error).__name__)
        finally:
            connection.close()

    threading.Thread(target=run, name=f"slipway-notify-{event.kind}").start()


def _mail(event: Event) -> None:
    staff = get_user_model().objects.filter(is_staff=True, is_active=True).exclude(email="")
    if to := list(staff.values_list("email", flat=True)):
        message = redact(event.message)
        send_mail(f"[Slipway] {message[:120]}", f"{message}\n\n{settings.SITE_URL}/admin/", None, to)


def _post(event: Event) -> None:
    """JSON, to the operator's own address; nothing is followed."""
    said = {"kind": event.kind, "subject": event.subject, "message": redact(event.message), "details": event.details}
    line = connection_to(settings.NOTIFY_WEBHOOK_URL, TIMEOUT_SECONDS)
    path = urlsplit(settings.NOTIFY_WEBHOOK_URL).path or "/"
    try:
        line.request("POST", path, json.dumps(said, default=str), {"Content-Type": "application/json"})
        answer = line.getresponse()
        if answer.status >= 300:
            log.warning("a channel failed", channel="webhook", kind=event.kind, error=f"HTTP {answer.status}")
    finally:
        line.close()
