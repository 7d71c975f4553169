"""What load balancers and Prometheus ask."""

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
from core.http.tokens import caller
from providers.prometheus import ProviderCollector
from rollout.gate import heartbeat
from validation.prometheus import ValidationCollector


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process lives."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 while the database answers and is migrated. What every instance shares and can miss is only reported."""
    database = _state_of_database()
    answer = {"ready": database == "ok", "database": database} | _states_of_helpers()
    return JsonResponse(answer, status=200 if answer["ready"] else 503)


def _state_of_database() -> str:
    try:
        executor = MigrationExecutor(connection)
        unapplied = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "unreachable"
    return "unmigrated" if unapplied else "ok"


def _states_of_helpers() -> dict[str, str]:
    try:
        workers = "ok" if heartbeat.is_fresh() else "degraded"
    except redis.RedisError:
        return {"redis": "degraded", "workers": "unknown"}
    return {"redis": "ok", "workers": workers}


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text. The figures come from the tables, so whichever process answers gives those of all."""
    if not (is_local(request) or caller(request)):
        return HttpResponse("a token is needed: Authorization: Bearer ...\n", status=401, content_type="text/plain")
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


@cache
def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ProviderCollector())
    registry.register(CacheCollector())
    registry.register(ValidationCollector())
    return registry
