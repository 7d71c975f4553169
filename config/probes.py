"""The endpoints for load balancers and Prometheus: /healthz, /readyz and /metrics."""

from functools import cache

import redis
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from caching.prometheus import CacheCollector
from config.middleware.trusted_proxies import is_local
from core.http.tokens import token_name
from providers.prometheus import ProviderCollector
from rollout.gate import heartbeat
from validation.prometheus import ValidationCollector


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
def prometheus(request: HttpRequest) -> HttpResponse:
    """Answer with Prometheus text. The figures come from the tables, so any process answers with those of all."""
    if not (is_local(request) or token_name(request)):
        return HttpResponse(
            "the request needs a token; send Authorization: Bearer TOKEN\n", status=401, content_type="text/plain"
        )
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


@cache
def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ProviderCollector())
    registry.register(CacheCollector())
    registry.register(ValidationCollector())
    return registry
