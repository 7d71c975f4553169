"""GET /api/v1/lines: what the upstreams offer, as far as the rollout's stage publishes it."""

from datetime import datetime
from typing import Annotated, Any

from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from core.errors import WrongInput
from core.http.api import Problem
from providers.models import PropLine, Provider, ProviderState, Sport
from rollout.choices import Stage
from rollout.decisions.stages import ROLLED_OUT, Lines
from rollout.gate import gate

PAGE, PAGE_AT_MOST = 100, 1000
router = Router(tags=["lines"])
COLUMNS = {
    "provider": F("state__provider_id"),
    "sport": F("state__sport_id"),
    "last_seen": F("state__last_successful_fetch"),
    "home_team": F("event__home_team"),
    "away_team": F("event__away_team"),
    "starts_at": F("event__starts_at"),
}
OWN = ("id", "state_id", "event_id", "bookmaker", "market", "player", "side", "point", "price", "changed_at")
Text = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]


class Line(Schema):
    """event: its number; null for a line of no single game. price: as the upstream sends it, American by default.
    last_seen: the provider's last good fetch.
    """

    id: int
    provider: str
    sport: str
    event: int | None
    home_team: str | None
    away_team: str | None
    starts_at: datetime | None
    bookmaker: str
    market: str
    player: str
    side: str
    point: float | None
    price: float | None
    changed_at: datetime
    last_seen: datetime | None


class Page(Schema):
    """available: false while serving is switched off. next: the cursor of the following page; null on the last one."""

    stage: Stage
    available: bool
    lines: list[Line]
    next: str | None


class Wanted(Schema):
    sport: Text = ""
    provider: Text = ""
    event: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    market: Text = ""
    cursor: Annotated[str, Field(pattern=r"^(\d{1,18}\.\d{1,18})?$")] = ""
    limit: Annotated[int, Field(ge=1, le=PAGE_AT_MOST)] = PAGE


@router.get("", response={200: Page, 400: Problem, 401: Problem}, summary="Published lines")
def lines(request: HttpRequest, response: HttpResponse, wanted: Query[Wanted]) -> dict[str, Any]:
    """By sport, provider, event and market, in pages. What is published depends on the stage: nothing before
    PARTIAL_ACTIVE, there the priority providers, and in FULL_ACTIVE all that are enabled.
    """
    response["Cache-Control"] = "private, no-cache"
    view = gate(ROLLED_OUT).view()
    page, following = _page(wanted, _states(wanted, view.serves.lines))
    return {"stage": view.stage, "available": view.is_serving, "lines": page, "next": following}


def _states(wanted: Wanted, published: Lines) -> list[int]:
    """Whose lines are wanted and published. Raises WrongInput."""
    states = ProviderState.objects.filter(is_enabled=True).order_by("pk")
    if wanted.sport:
        if not Sport.objects.filter(code=wanted.sport.upper()).exists():
            known = ", ".join(Sport.objects.order_by("code").values_list("code", flat=True))
            raise WrongInput(f"{wanted.sport[:20]!r} is no sport", f"take one of {known}")
        states = states.filter(sport=wanted.sport.upper())
    if wanted.provider:
        if not Provider.objects.filter(name=wanted.provider).exists():
            known = ", ".join(Provider.objects.order_by("name").values_list("name", flat=True)[:20])
            raise WrongInput(f"{wanted.provider[:50]!r} is no provider", f"take one of {known}")
        states = states.filter(provider=wanted.provider)
    if published is Lines.PRIORITY:
        states = states.filter(provider__is_priority=True)
    return [] if published is Lines.NONE else list(states.values_list("pk", flat=True))


def _page(wanted: Wanted, states: list[int]) -> tuple[list[dict[str, Any]], str | None]:
    """By state and then by line, which is the order of their index."""
    if not states:
        return [], None
    rows: QuerySet[PropLine] = PropLine.objects.filter(state__in=states, removed_at=None)
    if wanted.event is not None:
        rows = rows.filter(event=wanted.event)
    if wanted.market:
        rows = rows.filter(market=wanted.market)
    if wanted.cursor:
        state, line = map(int, wanted.cursor.split("."))
        rows = rows.filter(Q(state__gt=state) | Q(state=state, pk__gt=line), state__gte=state)
    found = list(rows.order_by("state_id", "pk").values(*OWN, **COLUMNS)[: wanted.limit + 1])
    page = [row | {"event": row.pop("event_id")} for row in found[: wanted.limit]]
    last = f"{page[-1]['state_id']}.{page[-1]['id']}" if len(found) > wanted.limit else None
    return page, last
