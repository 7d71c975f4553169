"""Traces leave a real process by OTLP over HTTP, and a process that exports none does not load OpenTelemetry."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.conf import settings
from django.db import connection

from config import VERSION
from config.celery import app
from providers.models import ProviderState
from tests import databases
from tests.config.test_log_lines import assert_complete, started
from tests.config.test_settings import manage
from tests.config.tracing.collector import Collector, collecting
from tests.conftest import committed
from tests.processes import free_port, until

FAST = {"OTEL_BSP_SCHEDULE_DELAY": "50", "TRACE_BACKGROUND_SHARE": "1"}
LOADED = "print([name for name in sys.modules if name.startswith('opentelemetry')])"
# redis-py itself imports the metrics of OpenTelemetry, which Slipway does not use, if they are installed.
LOADED_FOR_TRACES = "print([n for n in sys.modules if n.startswith(('opentelemetry.exp', 'opentelemetry.ins'))])"
NOT_INSTALLED = "sys.modules['opentelemetry'] = None"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def environment(db: None, collector: Collector) -> dict[str, str]:
    return FAST | {
        "DATABASE_URL": databases.address(str(connection.settings_dict["NAME"])),
        "REDIS_URL": settings.REDIS_URL,
        "WEB_PORT": str(free_port()),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
    }


def run(code: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"],
        cwd=databases.ROOT,
        env=os.environ | changes,
        capture_output=True,
        text=True,
    )


@committed
def test_the_site_exports_its_requests(environment: dict[str, str], collector: Collector, tmp_path: Path) -> None:
    environment |= {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=of-the-collector",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
    }
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    url = f"http://127.0.0.1:{environment['WEB_PORT']}/api/v1/derived/correlation/nba/points"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01", "Authorization": "Bearer let-me-in"}
    with started("web", tmp_path, **environment) as web:
        assert web.has_logged("Booting worker")
        with pytest.raises(HTTPError, match="503") as refused:  # there are no box scores
            urlopen(Request(url, headers=headers), timeout=30)
        refused.value.close()
        entries = web.stop()
    assert_complete(entries)
    [entry] = [entry for entry in entries if entry["event"] == "request_finished"]
    assert entry["trace_id"] == trace_id
    spans = [span for span in collector.spans() if span.trace_id == trace_id]
    [request] = [span for span in spans if span.span_id == entry["span_id"]]
    assert request.parent_id == "00f067aa0ba902b7"
    assert any(span.parent_id == request.span_id and "db.statement" in span.attributes for span in spans)
    expected = {
        "service.name": "slipway",
        "service.version": VERSION,
        "slipway.role": "web",
        "deployment.environment": "test",
    }
    assert expected.items() <= request.resource.items()
    assert collector.paths == {"/v1/traces"}
    assert collector.headers[0]["x-key"] == "of-the-collector"
    exported = b"".join(collector.bodies)
    assert b"let-me-in" not in exported


@committed
def test_each_forked_process_exports_its_own_spans(
    environment: dict[str, str], collector: Collector, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{environment['WEB_PORT']}/api/v1/openapi.json"

    def have_both_workers_exported() -> bool:
        urlopen(url, timeout=30).close()
        spans = collector.spans("GET api/v1/openapi.json")
        return len({span.resource["service.instance.id"] for span in spans}) == 2

    with started("web", tmp_path, **environment) as web:
        assert web.has_logged("Booting worker")
        assert until(have_both_workers_exported)


@committed
def test_a_worker_exports_its_polls(
    state: ProviderState,
    environment: dict[str, str],
    collector: Collector,
    stub_feed: Callable[..., str],
    tmp_path: Path,
) -> None:
    environment |= {"STUB_FEED_URL": stub_feed(), "STUBBORN_API_KEY": "of-the-feed"}
    ProviderState.objects.filter(provider="stub").update(is_enabled=True)
    with started("worker", tmp_path, **environment) as worker:
        app.send_task("providers.poll_due", queue="polls")
        assert until(lambda: collector.spans("poll"), 60)
        assert_complete(worker.stop())
    [task] = collector.spans("run/providers.poll_due")
    polls = collector.spans("poll")
    assert {poll.parent_id for poll in polls} == {task.span_id}
    assert {poll.resource["slipway.role"] for poll in polls} == {"worker"}


@committed
def test_a_task_that_the_site_sends_belongs_to_the_trace_of_its_request(
    environment: dict[str, str], collector: Collector
) -> None:
    send = (
        "import config.wsgi; from core.tasks import enqueue; from core.tracing import span\n"
        "with span('request', {}): enqueue('rollout.tick')"
    )
    done = run(send, **environment)
    assert done.returncode == 0, done.stderr
    [request], [task] = collector.spans("request"), collector.spans("apply_async/rollout.tick")
    assert (task.trace_id, task.parent_id) == (request.trace_id, request.span_id)


@committed
def test_a_command_is_one_trace(environment: dict[str, str], collector: Collector) -> None:
    command = [sys.executable, "manage.py", "rollout", "status"]
    subprocess.run(command, cwd=databases.ROOT, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL)
    [command_span] = collector.spans("manage.py rollout")
    queries = [span for span in collector.spans("SELECT") if span.parent_id == command_span.span_id]
    assert queries
    assert command_span.resource["slipway.role"] == "command"


def test_a_process_that_exports_no_traces_does_not_load_opentelemetry() -> None:
    for load in ("import config.wsgi", "import config.celery; config.celery.app.loader.import_default_modules()"):
        done = run(f"{load}; {LOADED_FOR_TRACES}", OTEL_EXPORTER_OTLP_ENDPOINT="")
        assert done.stdout == "[]\n", done.stderr
        done = run(f"{NOT_INSTALLED}; {load}; {LOADED}", OTEL_EXPORTER_OTLP_ENDPOINT="")
        assert done.stdout == "['opentelemetry']\n", done.stderr
    changes = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}
    assert run(f"import config.wsgi; {LOADED_FOR_TRACES}", **changes).stdout == "[]\n"


def test_without_the_packages_the_start_names_the_remedy() -> None:
    absent = "sys.modules['opentelemetry.instrumentation'] = None; from config.startup import start; start()"
    done = run(absent, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert done.returncode == 1
    assert done.stderr == (
        "slipway: cannot export traces: the packages of OpenTelemetry are not installed; run: make otel (or unset "
        "OTEL_EXPORTER_OTLP_ENDPOINT)\n"
    )
    subprocess.run(["make", "-n", "otel"], cwd=databases.ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "must be http(s)://host[:port]"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be http/protobuf"),
        ("TRACE_BACKGROUND_SHARE", "2", "must be a number from 0 to 1"),
        ("TRACE_BACKGROUND_SHARE", "nan", "must be a number from 0 to 1"),
    ],
)
def test_a_wrong_setting_is_one_line(variable: str, value: str, problem: str) -> None:
    changes = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"} | {variable: value}
    done = manage("check", **changes)
    assert done.stderr == f"slipway: {variable} {problem}; see .env.example\n"
