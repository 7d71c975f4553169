"""The start of tracing in a process: a tracer provider, and the instrumentation of the libraries that Slipway uses."""

import atexit
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial

from django.conf import settings
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.util.types import AttributeValue
from yarl import URL

from config import VERSION, logs
from config.schedule import CELERY_BEAT_SCHEDULE
from config.tracing.masking import MaskingExporter
from config.tracing.sampler import BackgroundSampler
from core.tracing import trace_with

LAST_EXPORT_SECONDS = 3.0  # for the spans that are left when the process ends
PROBES = r"/healthz\??$,/readyz\??$,/metrics\??$"  # Python 3.14 keeps an empty query
AIOHTTP, DJANGO = AioHttpClientInstrumentor(), DjangoInstrumentor()
CELERY = CeleryInstrumentor()  # type: ignore[no-untyped-call]
PSYCOPG, REDIS = PsycopgInstrumentor(), RedisInstrumentor()


def begin(role: str) -> None:
    """Trace this process from now on, and export the traces to OTEL_EXPORTER_OTLP_ENDPOINT.

    role: web, worker, beat or command.
    """
    provider = make_provider(role, OTLPSpanExporter())
    trace.set_tracer_provider(provider)
    atexit.register(_shut_down, provider)
    instrument(provider)


def make_provider(role: str, exporter: SpanExporter) -> TracerProvider:
    """Return a provider whose spans go to the exporter. OpenTelemetry's own variables apply to it."""
    # OpenTelemetry has no public function that returns the sampler of OTEL_TRACES_SAMPLER, but a provider has it.
    foreground = TracerProvider(shutdown_on_exit=False).sampler
    tasks = {str(entry["task"]) for entry in CELERY_BEAT_SCHEDULE.values()}
    sampler = BackgroundSampler(foreground, settings.TRACE_BACKGROUND_SHARE, tasks)
    ours = {"service.name": "slipway", "service.version": VERSION, "slipway.role": role}
    resource = Resource.create(ours | dict(OTELResourceDetector().detect().attributes))
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(MaskingExporter(exporter)))
    return provider


def instrument(provider: TracerProvider) -> None:
    """Let the libraries, the gates, the polls and the log entries of this process use the provider."""
    names = ("OTEL_PYTHON_DJANGO_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
    excluded = next((os.environ[name] for name in names if name in os.environ), PROBES)
    AIOHTTP.instrument(tracer_provider=provider, url_filter=_without_query)
    DJANGO.instrument(tracer_provider=provider, excluded_urls=excluded)
    for instrumentor in (CELERY, PSYCOPG, REDIS):
        instrumentor.instrument(tracer_provider=provider)
    trace_with(partial(_start_span, provider.get_tracer("slipway", VERSION)))
    logs.add_to_each_entry(_trace_ids)


def uninstrument() -> None:
    """Undo `instrument`."""
    for instrumentor in (AIOHTTP, DJANGO, CELERY, PSYCOPG, REDIS):
        instrumentor.uninstrument()
    trace_with(None)
    logs.add_to_each_entry(None)


def _without_query(url: URL) -> str:
    """Return the address without its query, which may hold a key."""
    return str(url.with_query(None))


def _start_span(
    tracer: trace.Tracer, name: str, attributes: Mapping[str, AttributeValue]
) -> AbstractContextManager[object]:
    return tracer.start_as_current_span(name, attributes=attributes)


def _trace_ids() -> dict[str, str]:
    """Return the ids of the current span for a log entry, in the form in which traces show them."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


def _shut_down(provider: TracerProvider) -> None:
    """Export the spans that are left. A collector that does not answer must not delay the end of the process."""
    thread = threading.Thread(target=provider.shutdown, name="slipway-last-export", daemon=True)
    thread.start()
    thread.join(LAST_EXPORT_SECONDS)
