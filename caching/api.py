"""GET /api/v1/derived/{type}/{sport}/{subject}: a derived value, out of the tiers or computed."""

from typing import Any, Literal

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils.http import parse_etags
from ninja import Router, Schema

from caching import clock
from caching.entries import Key
from caching.records import Found
from caching.serve import Served, compute_fresh, serve
from rollout.choices import Part
from rollout.models import Activation

router = Router(tags=["derived values"])


class Derived(Schema):
    """age: seconds since it was computed. confidence: 0 to 1."""

    value: dict[str, Any]
    served_from: Literal["cache", "computed"]
    state: Literal["fresh", "stale"]
    age: float
    confidence: float


class Problem(Schema):
    error: str
    remedy: str


@router.api_operation(
    ["GET", "HEAD"],
    "/{cache_type}/{sport}/{subject}",
    response={200: Derived, 304: None, 401: Problem, 404: Problem, 503: Problem},
    summary="A derived value",
)
def derived(request: HttpRequest, cache_type: str, sport: str, subject: str) -> HttpResponse:
    """By type (correlation, factor, player), sport (nba, mlb, nfl, nhl) and subject: a statistic, `model`, or a player
    as lebron-james. With the answer's ETag in If-None-Match it is sent again only when it differs.
    """
    key = Key.parse(cache_type, sport, subject)
    served = serve(key) if _serving_is_on() else compute_fresh(key)
    tag = f'"{served.found.record.digest.hex()[:32]}-{served.found.state.value}"'
    known = {known.removeprefix("W/") for known in parse_etags(request.headers.get("If-None-Match", ""))}
    is_known = tag in known or "*" in known
    answer = HttpResponse(status=304) if is_known else HttpResponse(_body(served), content_type="application/json")
    answer["Cache-Control"] = _cache_control(served.found)
    answer["ETag"] = f"W/{tag}"  # weakly, since its age is another with each answer
    return answer


def _serving_is_on() -> bool:
    try:
        return Activation.objects.allows(Part.SERVING)
    except Error:  # nobody can have switched it off meanwhile
        return True


def _body(served: Served) -> bytes:
    """The stored JSON as it is, without reading it."""
    found, served_from = served.found, b"computed" if served.is_computed else b"cache"
    return b'{"value":%b,"served_from":"%b","state":"%b","age":%.3f,"confidence":%.6g}' % (
        found.record.data,
        served_from,
        found.state.value.encode(),
        max(0.0, found.age_seconds),
        found.record.confidence,
    )


def _cache_control(found: Found) -> str:
    """For as long as nobody refreshes it."""
    seconds = found.record.due_at - clock.now()
    return f"private, max-age={int(seconds)}" if 1 <= seconds < float("inf") else "private, no-cache"
