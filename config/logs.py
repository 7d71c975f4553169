"""Structured logs: colored lines in a terminal, JSON otherwise. Secrets are masked in both."""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from django.http import HttpRequest

from core.redaction import redact


def configure() -> None:
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def bind_address(request: HttpRequest, **signal: Any) -> None:
    """Add the client's address, as config.middleware.trusted_proxies determined it, to each log entry of the request.

    signal: the other arguments of the django-structlog signal, which are not used.
    """
    structlog.contextvars.bind_contextvars(ip=request.META.get("REMOTE_ADDR"))


def redact_event(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask the secrets in every field of the event. This is a structlog processor."""
    for key, value in event.items():
        event[key] = _redact_value(value)
    return event


def _redact_value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_redact_value(part) for part in value]
    return value if isinstance(value, int | float | None) else redact(str(value))


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.PositionalArgumentsFormatter(),
]


def logging_dict() -> dict[str, Any]:
    """Return Django's LOGGING: every record goes to stderr through structlog, those of libraries too."""
    is_terminal = sys.stderr.isatty() or "FORCE_COLOR" in os.environ  # `make run` sets FORCE_COLOR in a terminal
    renderer = structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    final = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact_event,
        renderer,
    ]
    formatter = {"()": structlog.stdlib.ProcessorFormatter, "foreign_pre_chain": SHARED, "processors": final}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": logging.INFO},
        "loggers": {
            "django.server": {"handlers": [], "propagate": True},
            "celery.app.trace": {"level": logging.WARNING},
            "celery.worker.strategy": {"level": logging.WARNING},
            "django_structlog.celery": {"level": logging.WARNING},
            "django_celery_beat": {"level": logging.WARNING},
            "celery.beat": {"level": logging.WARNING},
            "axes": {"level": logging.WARNING},
        },
    }
