"""The answers to load balancers and Prometheus."""

import pytest
from django.db import connection
from django.test import Client

from core.redis import client as redis_client
from core.redis import key
from rollout.gate import heartbeat
from tests.conftest import committed

TOKEN = {"Authorization": "Bearer let-me-in"}


@pytest.fixture
def no_heartbeat() -> None:
    redis_client().delete(key("heartbeat"))


def test_a_living_process_answers_ok(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_it_is_ready_without_workers_and_reports_them_as_degraded(client: Client, no_heartbeat: None) -> None:
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


@pytest.mark.django_db
def test_a_remote_client_needs_a_token() -> None:
    remote = Client(REMOTE_ADDR="203.0.113.9")
    assert remote.get("/metrics").status_code == 401
    assert remote.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert remote.get("/metrics", headers=TOKEN).status_code == 200
    assert remote.get("/metrics", headers={"X-API-Key": "let-me-in"}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_accept_no_post(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
