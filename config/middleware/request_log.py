"""The fields of a request's log entry, beside those of django-structlog, which writes the entry."""

import time
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

from config import VERSION
from core.http.tokens import token_name

START = "slipway.start"  # in request.META, by time.perf_counter()


def begin(request: HttpRequest, **signal: Any) -> None:
    """Add the client's address and the user to each log entry of the request.

    The address is the one that config.middleware.trusted_proxies determined.

    signal: the other arguments of the django-structlog signal, which are not used.
    """
    request.META[START] = time.perf_counter()
    structlog.contextvars.bind_contextvars(ip=request.META.get("REMOTE_ADDR"))
    _bind_user()


def finish(
    request: HttpRequest, log_kwargs: dict[str, Any], response: HttpResponse | None = None, **signal: Any
) -> None:
    """Add what is known at the end of the request to its log entry.

    response: None if the request failed with an exception.
    signal: the other arguments of the django-structlog signals, which are not used.
    """
    _bind_user()
    del log_kwargs["code"]
    log_kwargs |= {
        "status": response.status_code if response is not None else 500,
        "duration_ms": round((time.perf_counter() - request.META[START]) * 1000, 3),
        "route": request.resolver_match.route if request.resolver_match else None,
        "version": VERSION,
    }
    if name := token_name(request):
        log_kwargs["token"] = name


def _bind_user() -> None:
    """Rename django-structlog's field user_id to `user`, because the settings let it hold the name of the user.

    request.user is not read here: reading it makes every answer depend on the session's cookie (header Vary).
    """
    name = structlog.contextvars.get_contextvars().get("user_id")
    structlog.contextvars.unbind_contextvars("user_id")
    if name:
        structlog.contextvars.bind_contextvars(user=name)
