"""The route GET /api/v1/derived/{type}/{sport}/{subject}: a derived value through the gate."""

from typing import Any, Literal

import structlog
from django.http import HttpRequest, HttpResponse
from ninja import Header, Router, Schema

from caching.serving.gated import derived_gate, derived_value
from caching.serving.serve import NoTarget, Served
from caching.tiers import database_clock
from caching.tiers.entries import Key
from caching.tiers.records import Lookup
from core.errors import WrongInput
from core.http.api import Problem, has_matching_etag
from rollout.choices import Stage

router = Router(tags=["derived values"])


class Derived(Schema):
    """A derived value. age: seconds since it was computed. confidence: 0 to 1. stage: of the rollout that serves it."""

    value: dict[str, Any]
    served_from: Literal["cache", "computed"]
    state: Literal["fresh", "stale"]
    age: float
    confidence: float
    stage: Stage


@router.api_operation(
    ["GET", "HEAD"],
    "/{cache_type}/{sport}/{subject}",
    response={200: Derived, 304: None, 401: Problem, 404: Problem, 503: Problem},
    summary="A derived value",
)
def derived(
    request: HttpRequest, cache_type: str, sport: str, subject: str, x_targeting_key: Header[str | None] = None
) -> HttpResponse:
    """Return a derived value by its type (correlation, factor, player), its sport (nba, mlb, nfl, nhl) and its subject.

    The subject is a statistic, the word `model`, or a player such as lebron-james. A request that sends the answer's
    ETag in If-None-Match gets the value again only if it changed. X-Targeting-Key is what a partial rollout is sticky
    on: a user, an account; without it, the name of the token.
    """
    try:
        key = Key.parse(cache_type, sport, subject)
    except WrongInput as error:  # in the path of an address, it is a wrong address
        raise NoTarget(*error.args) from None
    served = derived_value(key, x_targeting_key or request.auth)  # type: ignore[attr-defined]
    structlog.contextvars.bind_contextvars(served_from=served.source, arm=served.arm.value)
    tag = f'"{served.lookup.record.digest.hex()[:32]}-{served.lookup.state.value}"'
    if has_matching_etag(request, tag):
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(_body(served), content_type="application/json")
    response["Cache-Control"] = _cache_control(served.lookup)
    response["ETag"] = f"W/{tag}"  # weak, because the age differs in each answer
    return response


def _body(served: Served) -> bytes:
    """Return the answer around the stored JSON, which is not parsed."""
    lookup, served_from = served.lookup, b"computed" if served.is_computed else b"cache"
    return b'{"value":%b,"served_from":"%b","state":"%b","age":%.3f,"confidence":%.6g,"stage":"%b"}' % (
        lookup.record.data,
        served_from,
        lookup.state.value.encode(),
        max(0.0, lookup.age_seconds),
        lookup.record.confidence,
        derived_gate().state().stage.value.encode(),
    )


def _cache_control(lookup: Lookup) -> str:
    """Return the header that lets a client keep the value until it is due."""
    seconds = lookup.record.due_at - database_clock.now()
    return f"private, max-age={int(seconds)}" if 1 <= seconds < float("inf") else "private, no-cache"
