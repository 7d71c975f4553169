"""Structured logs: colored lines in a terminal, JSON otherwise. Secrets are masked in both."""

import json
import logging
import logging.config
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import structlog

from core.redaction import redact

STDERR = 2  # the file descriptor
_context: Callable[[], Mapping[str, Any]] | None = None


def configure() -> None:
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def serve() -> None:
    """Configure the logs of a service. Its warnings and uncaught exceptions become log entries, too."""
    configure()
    logging.config.dictConfig(logging_dict())
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


def is_terminal() -> bool:
    """Return whether a person reads standard error. `make run` sets FORCE_COLOR if its own output is a terminal."""
    return sys.stderr.isatty() or "FORCE_COLOR" in os.environ


def add_to_each_entry(context: Callable[[], Mapping[str, Any]] | None) -> None:
    """Add the fields that the function returns to each entry from now on; None: add none."""
    global _context
    _context = context


def write_now(event: str, logger: str, level: str = "info") -> None:
    """Write an entry without the logging module.

    A signal handler must not use that module, because it may have interrupted the writing of another entry.
    """
    timestamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    entry = {"event": redact(event), "logger": logger, "level": level, "timestamp": timestamp}
    with suppress(OSError):  # the reader is gone
        os.write(STDERR, f"{json.dumps(entry)}\n".encode())


class StderrHandler(logging.StreamHandler[Any]):
    """The handler of every record. If a record cannot be written, it writes an entry that names the reason."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name in logging
        write_now(f"cannot write a log entry: {sys.exc_info()[1]!r}", record.name, "error")


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    structlog.get_logger("slipway").critical("uncaught exception", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:  # it ends the thread, as it does without this hook
        return
    name = args.thread.name if args.thread else ""
    exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
    structlog.get_logger("slipway").error("uncaught exception in a thread", thread=name, exc_info=exc_info)


def _log_unraisable(args: "sys.UnraisableHookArgs") -> None:
    exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
    log = structlog.get_logger("slipway")
    log.error("ignored exception", where=repr(args.object), problem=args.err_msg, exc_info=exc_info)


def redact_event(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask the secrets in every field of the event. This is a structlog processor."""
    for key, value in event.items():
        event[key] = _redact_value(value)
    return event


def _redact_value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_redact_value(part) for part in value]
    return value if isinstance(value, int | float | None) else redact(str(value))


def _add_context(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the fields of `add_to_each_entry`. This is a structlog processor."""
    if _context is not None:
        event.update(_context())
    return event


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    _add_context,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.PositionalArgumentsFormatter(),
]


def logging_dict() -> dict[str, Any]:
    """Return Django's LOGGING and gunicorn's: every record goes to stderr through structlog, those of libraries too."""
    renderer = structlog.dev.ConsoleRenderer() if is_terminal() else structlog.processors.JSONRenderer()
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
        "handlers": {"stderr": {"()": StderrHandler, "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": logging.INFO},
        "loggers": {
            "django.server": {"handlers": [], "propagate": True},
            "gunicorn.error": {"handlers": [], "propagate": True},
            "celery.app.trace": {"level": logging.WARNING},
            "celery.worker.strategy": {"level": logging.WARNING},
            "django_structlog.celery": {"level": logging.WARNING},
            "django_celery_beat": {"level": logging.WARNING},
            "celery.beat": {"level": logging.WARNING},
            "django.request": {"level": logging.ERROR},  # the entry of the request has the status
            "axes": {"level": logging.WARNING},
            "opentelemetry.exporter": {"level": logging.ERROR},  # its warnings announce further attempts
        },
    }
