"""Channels that notify operators in addition to the log: mail to staff who have an address, and a webhook.

Each delivery runs in a thread of its own, so that the caller of `notify` waits for no mail server. A process that ends
waits for its unfinished deliveries.
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
SUBJECT_AT_MOST = 120  # characters of the message in a mail's subject
log = structlog.get_logger("slipway.notify")


def by_mail(event: Event) -> None:
    """Mail the event to all active staff users who have an address, in a thread of its own."""
    _in_thread(_mail, event)


def by_webhook(event: Event) -> None:
    """POST the event to NOTIFY_WEBHOOK_URL as JSON, in a thread of its own."""
    _in_thread(_post, event)


def _in_thread(send: Callable[[Event], None], event: Event) -> None:
    def run() -> None:
        try:
            send(event)
        except Exception as error:  # the error's text may contain a secret of the address, so only its type is logged
            log.warning("a channel failed", channel=send.__name__, kind=event.kind, error=type(error).__name__)
        finally:
            connection.close()

    threading.Thread(target=run, name=f"slipway-notify-{event.kind}").start()


def _mail(event: Event) -> None:
    staff = get_user_model().objects.filter(is_staff=True, is_active=True).exclude(email="")
    if recipients := list(staff.values_list("email", flat=True)):
        message = redact(event.message)
        body = f"{message}\n\n{settings.SITE_URL}/admin/"
        send_mail(f"[Slipway] {message[:SUBJECT_AT_MOST]}", body, None, recipients)


def _post(event: Event) -> None:
    """POST the event to the operator's own address. Redirects are not followed."""
    document = {
        "kind": event.kind,
        "subject": event.subject,
        "message": redact(event.message),
        "details": event.details,
    }
    webhook = connection_to(settings.NOTIFY_WEBHOOK_URL, TIMEOUT_SECONDS)
    path = urlsplit(settings.NOTIFY_WEBHOOK_URL).path or "/"
    try:
        webhook.request("POST", path, json.dumps(document, default=str), {"Content-Type": "application/json"})
        answer = webhook.getresponse()
        if answer.status >= 300:
            log.warning("a channel failed", channel="webhook", kind=event.kind, error=f"HTTP {answer.status}")
    finally:
        webhook.close()
