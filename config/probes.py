"""The endpoints for load balancers and Prometheus: /healthz, /readyz and /metrics."""

import redis
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from config.middleware.trusted_proxies import is_local
from config.prometheus.exposition import render
from core.http.tokens import token_name
from rollout.gate import heartbeat


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as the process lives."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database answers and is migrated, else 503.

    Redis and the workers are only reported: all instances share them and can serve without them, so a fault there must
    not take every instance out of service.
    """
    database = _database_state()
    body = {"ready": database == "ok", "database": database} | _redis_and_worker_states()
    return JsonResponse(body, status=200 if body["ready"] else 503)


def _database_state() -> str:
    try:
        executor = MigrationExecutor(connection)
        unapplied = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "unreachable"
    return "unmigrated" if unapplied else "ok"


def _redis_and_worker_states() -> dict[str, str]:
    try:
        workers = "ok" if heartbeat.is_fresh() else "degraded"
    except redis.RedisError:
        return {"redis": "degraded", "workers": "unknown"}
    return {"redis": "ok", "workers": workers}


@require_safe
@gzip_page
def prometheus(request: HttpRequest) -> HttpResponse:
    """Answer with Prometheus text. The figures are read from PostgreSQL and Redis, so any process has those of all."""
    if not (is_local(request) or token_name(request)):
        return HttpResponse(
            "the request needs a token; send Authorization: Bearer TOKEN\n", status=401, content_type="text/plain"
        )
    return HttpResponse(render(), content_type=CONTENT_TYPE_LATEST)
