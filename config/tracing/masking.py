"""The exporter that removes secrets and values from spans before another exporter sends them."""

import re
from collections.abc import Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes, AttributeValue

from core.redaction import redact

HEADERS = ("http.request.header.", "http.response.header.")  # a header may hold a token or a cookie
STATEMENTS = ("db.statement", "db.query.text")
TEXT_IN_SQL = re.compile(r"'(?:[^']|'')*'")
DATABASE_ERRORS = ("psycopg.", "django.db.")  # their messages quote values of rows


class MaskingExporter(SpanExporter):
    """An exporter in front of another one. The log has the traceback of an error, so a span has none."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([mask(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def mask(span: ReadableSpan) -> ReadableSpan:
    """Return the span without secrets, header values, texts in SQL, tracebacks, and messages of database errors."""
    return ReadableSpan(
        name=redact(span.name),
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=_mask_attributes(span.attributes),
        events=[_mask_event(event) for event in span.events],
        links=[Link(link.context, _mask_attributes(link.attributes)) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),  # its description repeats the error's message
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _mask_attributes(attributes: Attributes) -> dict[str, AttributeValue]:
    return {
        name: _mask_value(name, value) for name, value in (attributes or {}).items() if not name.startswith(HEADERS)
    }


def _mask_value(name: str, value: AttributeValue) -> AttributeValue:
    if isinstance(value, str):
        return TEXT_IN_SQL.sub("?", value) if name in STATEMENTS else redact(value)
    if isinstance(value, Sequence):
        return [redact(part) if isinstance(part, str) else part for part in value]
    return value


def _mask_event(event: Event) -> Event:
    attributes = _mask_attributes(event.attributes)
    attributes.pop("exception.stacktrace", None)
    if "exception.message" in attributes:
        is_of_database = str(attributes.get("exception.type")).startswith(DATABASE_ERRORS)
        attributes["exception.message"] = "" if is_of_database else _first_line(attributes["exception.message"])
    return Event(event.name, attributes, event.timestamp)


def _first_line(message: AttributeValue) -> str:
    return str(message).strip().partition("\n")[0]
