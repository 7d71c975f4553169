"""GET /api/v1/lines: the lines that the upstreams offer, as far as the rollout's stage publishes them."""

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
from rollout.decisions.stages import DEFAULT_ROLLOUT, Lines
from rollout.gate import gate

PAGE, PAGE_AT_MOST = 100, 1000  # lines
PROVIDERS_SHOWN = 20  # in an error message
router = Router(tags=["lines"])
LINE_COLUMNS = ("id", "state_id", "event_id", "bookmaker", "market", "player", "side", "point", "price", "changed_at")
JOINED_COLUMNS = {
    "provider": F("state__provider_id"),
    "sport": F("state__sport_id"),
    "last_seen": F("state__last_successful_fetch"),
    "home_team": F("event__home_team"),
    "away_team": F("event__away_team"),
    "starts_at": F("event__starts_at"),
}
FilterText = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]


class Line(Schema):
    """A line: one side of one market at a bookmaker.

    event: the id of its game; null for a line of no single game.
    price: as the upstream sends it, American by default.
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
    """A page of lines.

    available: false while serving is switched off.
    next: the cursor of the next page; null on the last one.
    """

    stage: Stage
    available: bool
    lines: list[Line]
    next: str | None


class LineFilters(Schema):
    sport: FilterText = ""
    provider: FilterText = ""
    event: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    market: FilterText = ""
    cursor: Annotated[str, Field(pattern=r"^(\d{1,18}\.\d{1,18})?$")] = ""
    limit: Annotated[int, Field(ge=1, le=PAGE_AT_MOST)] = PAGE


@router.get("", response={200: Page, 400: Problem, 401: Problem}, summary="Published lines")
def lines(request: HttpRequest, response: HttpResponse, filters: Query[LineFilters]) -> dict[str, Any]:
    """Return the published lines by sport, provider, event and market, in pages.

    The stage decides what is published: no lines before PARTIAL_ACTIVE, the lines of the priority providers in
    PARTIAL_ACTIVE, and the lines of all enabled providers in FULL_ACTIVE.
    """
    response["Cache-Control"] = "private, no-cache"
    rollout = gate(DEFAULT_ROLLOUT).state()
    page, cursor = _page(filters, _published_states(filters, rollout.serving.lines))
    return {"stage": rollout.stage, "available": rollout.is_serving_on, "lines": page, "next": cursor}


def _published_states(filters: LineFilters, published: Lines) -> list[int]:
    """Return the ids of the states that the filters select and the stage publishes.

    Raises WrongInput for a sport or a provider that does not exist.
    """
    states = ProviderState.objects.filter(is_enabled=True).order_by("pk")
    if filters.sport:
        if not Sport.objects.filter(code=filters.sport.upper()).exists():
            known = ", ".join(Sport.objects.order_by("code").values_list("code", flat=True))
            raise WrongInput(f"cannot find the sport {filters.sport[:20]!r}", f"use one of {known}")
        states = states.filter(sport=filters.sport.upper())
    if filters.provider:
        if not Provider.objects.filter(name=filters.provider).exists():
            known = ", ".join(Provider.objects.order_by("name").values_list("name", flat=True)[:PROVIDERS_SHOWN])
            raise WrongInput(f"cannot find the provider {filters.provider[:50]!r}", f"use one of {known}")
        states = states.filter(provider=filters.provider)
    if published is Lines.NONE:
        return []
    if published is Lines.PRIORITY:
        states = states.filter(provider__is_priority=True)
    return list(states.values_list("pk", flat=True))


def _page(filters: LineFilters, states: list[int]) -> tuple[list[dict[str, Any]], str | None]:
    """Return the lines of one page and the cursor of the next one.

    The order is by state and then by line, as in their index.
    """
    if not states:
        return [], None
    rows: QuerySet[PropLine] = PropLine.objects.filter(state__in=states, removed_at=None)
    if filters.event is not None:
        rows = rows.filter(event=filters.event)
    if filters.market:
        rows = rows.filter(market=filters.market)
    if filters.cursor:
        state, line = map(int, filters.cursor.split("."))
        rows = rows.filter(Q(state__gt=state) | Q(state=state, pk__gt=line), state__gte=state)
    ordered = rows.order_by("state_id", "pk").values(*LINE_COLUMNS, **JOINED_COLUMNS)
    fetched = list(ordered[: filters.limit + 1])  # one more than the page shows whether another page follows
    page = [row | {"event": row["event_id"]} for row in fetched[: filters.limit]]
    cursor = f"{page[-1]['state_id']}.{page[-1]['id']}" if len(fetched) > filters.limit else None
    return page, cursor
