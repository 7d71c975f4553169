"""Tracing inside the test's own process."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_django import Settings

from config.tracing import decisions, setup
from rollout.gate.gates import note_decisions_with

Finished = Callable[[], list[ReadableSpan]]


@pytest.fixture
def finished(settings: Settings) -> Iterator[Finished]:
    """A function that returns the spans that ended, as an exporter gets them. Every trace is sampled."""
    settings.TRACE_BACKGROUND_SHARE = 1.0
    settings.MIDDLEWARE = list(settings.MIDDLEWARE)
    exporter = InMemorySpanExporter()
    provider = setup.make_provider("web", exporter)
    setup.instrument(provider)
    decisions.register()
    connection.close()  # a connection is traced from its beginning on

    def read() -> list[ReadableSpan]:
        provider.force_flush()
        return list(exporter.get_finished_spans())

    yield read
    note_decisions_with(None)
    setup.uninstrument()
    provider.shutdown()
    connection.close()
