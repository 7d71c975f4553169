"""What load balancers and Prometheus are answered."""

import pytest
from django.db import connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from core.redis import client as redis_client
from core.redis import key
from providers.models import ProviderState
from rollout.gate import heartbeat
from tests.conftest import committed

TOKEN = {"Authorization": "Bearer let-me-in"}


@pytest.fixture
def no_heartbeat() -> None:
    redis_client().delete(key("heartbeat"))


def test_it_lives(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_it_is_ready_without_workers_but_says_so(client: Client, no_heartbeat: None) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"ready": True, "database": "ok", "redis": "ok", "workers": "degraded"}


@pytest.mark.django_db
def test_a_tick_shows_that_workers_work(client: Client, no_heartbeat: None) -> None:
    heartbeat.beat()
    assert client.get("/readyz").json()["workers"] == "ok"


@committed
def test_it_is_not_ready_without_its_database(client: Client) -> None:
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    try:
        response = client.get("/readyz")
    finally:
        connection.settings_dict["HOST"] = host
    assert response.status_code == 503
    assert response.json()["database"] == "unreachable"


@pytest.mark.django_db
def test_it_is_not_ready_before_its_migrations(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'providers'")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["database"]) == (503, "unmigrated")


def figures(response: object) -> dict[str, dict[tuple[str, ...], float]]:
    text = response.content.decode()  # type: ignore[attr-defined]
    return {
        sample.name: {tuple(s.labels.values()): s.value for s in family.samples}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_come_from_the_tables(client: Client, state: ProviderState) -> None:
    ProviderState.objects.filter(pk=state.pk).update(total_requests=7, failed_requests=2, last_prop_count=99)
    found = figures(client.get("/metrics"))
    assert len(found["slipway_provider_states"]) == 28
    assert found["slipway_provider_states"]["true", "stub", "NBA", "active"] == 1  # by the labels' names
    assert found["slipway_fetches_total"]["stub", "NBA"] == 7
    assert found["slipway_fetches_failed_total"]["stub", "NBA"] == 2
    assert found["slipway_lines_offered"]["stub", "NBA"] == 99
    assert found["slipway_slots_overdue"][()] == 8


@pytest.mark.django_db
def test_metrics_from_afar_need_a_token() -> None:
    afar = Client(REMOTE_ADDR="203.0.113.9")
    assert afar.get("/metrics").status_code == 401
    assert afar.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert afar.get("/metrics", headers=TOKEN).status_code == 200
    assert afar.get("/metrics", headers={"X-API-Key": "let-me-in"}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
