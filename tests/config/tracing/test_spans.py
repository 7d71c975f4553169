"""Spans of requests, polls and tasks: what they hold, and what they must not hold."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import pytest
from django.db import IntegrityError, connection
from django.test import Client
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from core.access.actors import SYSTEM
from core.redaction import hiding
from core.tracing import span
from providers import operations
from providers.models import Provider, ProviderState
from providers.polling import poller
from providers.tasks import poll_due
from rollout.gate import gate
from tests.caching.conftest import nba
from tests.config.tracing.conftest import Finished
from tests.conftest import committed
from tests.providers.polls import poll

__all__ = ["nba"]
KEY = "of+the&feed"
pytestmark = committed


def named(spans: list[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


def ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_request_holds_its_queries_and_the_decision(
    finished: Finished,
    nba: None,
    at_stage: Callable[..., None],
    request_entries: Callable[[], list[dict[str, Any]]],
) -> None:
    at_stage("FULL_ACTIVE")
    url = "/api/v1/derived/correlation/nba/points"
    assert Client().get(url, headers={"Authorization": "Bearer let-me-in"}).status_code == 200
    spans = finished()
    [request] = [span for span in spans if span.kind is SpanKind.SERVER]
    decision = {name: value for name, value in attributes(request).items() if name.startswith("slipway.")}
    assert decision == {
        "slipway.rollout": "derived-data",
        "slipway.arm": "candidate",
        "slipway.stage": "FULL_ACTIVE",
        "slipway.reason": "STATIC",
    }
    trace_id, span_id = ids(request)
    queries = [span for span in spans if span.parent and span.parent.span_id == span_id]
    assert {attributes(query)["db.system"] for query in queries} >= {"postgresql"}
    [entry] = request_entries()
    assert (entry["trace_id"], entry["span_id"]) == (f"{trace_id:032x}", f"{span_id:016x}")
    assert dict(request.resource.attributes)["slipway.role"] == "web"


def test_several_decisions_of_a_request_are_its_events(finished: Finished, at_stage: Callable[..., None]) -> None:
    at_stage("PARTIAL_ACTIVE", percent=10)
    with span("request", {}):
        flag = gate("derived-data")
        flag.decide("user-6")
        flag.run("user-1", control=int, candidate=int)
        gate("unknown").decide("user-6")
    [request] = named(finished(), "request")
    decisions = [dict(event.attributes or {}) for event in request.events]
    assert [tuple(decision.values()) for decision in decisions] == [
        ("derived-data", "candidate", "PARTIAL_ACTIVE", "SPLIT"),
        ("derived-data", "control", "PARTIAL_ACTIVE", "SPLIT"),
        ("unknown", "control", "DISABLED", "STALE"),
    ]
    assert attributes(request) == decisions[-1]


def test_a_poll_holds_its_calls_and_its_statements_without_the_key(
    finished: Finished, state: ProviderState, stub_feed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUBBORN_API_KEY", KEY)
    Provider.objects.filter(name="stub").update(credential_env="STUBBORN_API_KEY")
    operations.enable([state.pk], actor=SYSTEM)
    with hiding([]):
        stub_feed()
        assert poll().is_good
        poller.stop_poller()
        spans = finished()
    [polled] = named(spans, "poll")
    assert attributes(polled) == {"slipway.sport": "NBA", "slipway.providers": ["stub"]}
    inside = [span for span in spans if span.parent and span.parent.span_id == ids(polled)[1]]
    calls = [attributes(span)["http.url"] for span in inside if "http.url" in attributes(span)]
    assert len(calls) > 1
    assert all("/v4/sports/basketball_nba/" in url and "?" not in url for url in calls)
    assert {"WITH", "INSERT"} <= {span.name for span in inside}, "a writer's statements belong to its poll"
    exported = " ".join(span.to_json() for span in spans)
    assert KEY not in exported
    assert quote_plus(KEY) not in exported


def test_a_span_holds_no_value_and_no_secret(finished: Finished) -> None:
    with span("work", {"address": "redis://:hunter22@host", "key": "of-the-settings"}):
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s, 'a literal'", ["a parameter"])
        with pytest.raises(IntegrityError, match="value-of-a-row"):
            break_a_constraint("value-of-a-row")
        with pytest.raises(ValueError, match="hunter22"), span("failing", {}):
            raise ValueError("cannot reach redis://:hunter22@host\nvalue-of-a-row")
    with hiding(["of-the-settings"]):
        spans = finished()
    [work], [failing] = named(spans, "work"), named(spans, "failing")
    assert attributes(work) == {"address": "redis://:***@host", "key": "***"}
    statements = {attributes(span).get("db.statement") for span in spans}
    assert "SELECT %s, ?" in statements
    [error] = failing.events
    assert dict(error.attributes or {}) == {
        "exception.type": "ValueError",
        "exception.message": "cannot reach redis://:***@host",
        "exception.escaped": "False",
    }
    broken = [span for span in named(spans, "INSERT") if span.status.status_code is StatusCode.ERROR]
    [event] = broken[0].events
    assert dict(event.attributes or {})["exception.message"] == ""
    exported = " ".join(span.to_json() for span in spans)
    assert not [text for text in ("hunter22", "value-of-a-row", "a literal", "a parameter") if text in exported]


def break_a_constraint(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO auth_group (name) VALUES (%s), (%s)", [name, name])


def test_a_task_holds_what_it_does(finished: Finished) -> None:
    poll_due.apply()
    spans = finished()
    [run] = named(spans, "run/providers.poll_due")
    assert any(span.parent and span.parent.span_id == ids(run)[1] for span in spans)


def test_a_probe_is_no_trace(finished: Finished) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        Client().get(path)
    Client().get("/admin/login/")
    assert [span.name for span in finished() if span.kind is SpanKind.SERVER] == ["GET admin/login/"]
