"""GET /api/v1/derived/{type}/{sport}/{subject}: a derived value through the gate."""

from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Header, Router, Schema

from caching.serving.gated import derived_value, gate
from caching.serving.serve import NoTarget, Served
from caching.tiers import database_clock
from caching.tiers.entries import Key
from caching.tiers.records import Found
from core.errors import WrongInput
from core.http.api import Problem, has_already
from rollout.choices import Stage

router = Router(tags=["derived values"])


class Derived(Schema):
    """age: seconds since it was computed. confidence: 0 to 1. stage: of the rollout that serves it."""

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
    """By type (correlation, factor, player), sport (nba, mlb, nfl, nhl) and subject: a statistic, `model`, or a player
    as lebron-james. With the answer's ETag in If-None-Match it is sent again only when it differs. X-Targeting-Key is
    whom a partial rollout sticks to: a user, an account; without it, the token's name.
    """
    try:
        key = Key.parse(cache_type, sport, subject)
    except WrongInput as error:  # it stands in the path
        raise NoTarget(*error.args) from None
    served = derived_value(key, x_targeting_key or request.auth)  # type: ignore[attr-defined]
    tag = f'"{served.found.record.digest.hex()[:32]}-{served.found.state.value}"'
    answer = (
        HttpResponse(status=304)
        if has_already(request, tag)
        else HttpResponse(_body(served), content_type="application/json")
    )
    answer["Cache-Control"] = _cache_control(served.found)
    answer["ETag"] = f"W/{tag}"  # weakly, since its age is another with each answer
    return answer


def _body(served: Served) -> bytes:
    """The stored JSON as it is, without reading it."""
    found, served_from = served.found, b"computed" if served.is_computed else b"cache"
    return b'{"value":%b,"served_from":"%b","state":"%b","age":%.3f,"confidence":%.6g,"stage":"%b"}' % (
        found.record.data,
        served_from,
        found.state.value.encode(),
        max(0.0, found.age_seconds),
        found.record.confidence,
        gate().view().stage.value.encode(),
    )


def _cache_control(found: Found) -> str:
    """For as long as nobody refreshes it."""
    seconds = found.record.due_at - database_clock.now()
    return f"private, max-age={int(seconds)}" if 1 <= seconds < float("inf") else "private, no-cache"
