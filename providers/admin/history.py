"""Queries of the admin's pages about the past: a provider state's last day, a line's prices."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from providers import sql
from providers.choices import PollOutcome
from providers.models import FetchAttempt, PollSlot, PropLine, ProviderState, StatusChange

DAY = timedelta(days=1)
QUARTER_MINUTES = 15
ROWS_SHOWN = 8  # errors, and changes of status
MOVES_SHOWN = 500  # changes of a line's price


@dataclass(frozen=True, slots=True)
class Quarter:
    """The measurements of a quarter of an hour. None: there was no call in it, or no good poll.

    success: share of good calls, 0 to 1.
    """

    begins_at: datetime
    response_ms: float | None
    success: float | None
    lines: float | None


def find_slot(state: ProviderState) -> PollSlot | None:
    """Return the poll slot of the state's account and sport, or None if it was never enabled."""
    account = state.provider
    return PollSlot.objects.filter(
        adapter=account.adapter,
        base_url=account.base_url,
        credential_env=account.credential_env,
        sport=state.sport_id,
    ).first()


def read_last_day(state: ProviderState, slot: PollSlot) -> list[Quarter]:
    """Return every quarter of an hour of the last 24 hours, oldest first. Quarters without a call are included."""
    since = timezone.now() - DAY
    with connection.cursor() as cursor:
        cursor.execute(
            sql.LAST_DAY,
            {"slot": slot.pk, "provider": state.provider_id, "since": since, "minutes": QUARTER_MINUTES},
        )
        measured = {row[0]: Quarter(*row) for row in cursor.fetchall()}
    beginnings = [since + number * timedelta(minutes=QUARTER_MINUTES) for number in range(24 * 60 // QUARTER_MINUTES)]
    return [measured.get(begins_at, Quarter(begins_at, None, None, None)) for begins_at in beginnings]


def last_errors(state: ProviderState, slot: PollSlot) -> QuerySet[FetchAttempt]:
    """Return the failed calls of the last 24 hours, newest first, at most ROWS_SHOWN."""
    recent = slot.attempts.filter(started_at__gte=timezone.now() - DAY, providers__contains=[state.provider_id])
    return recent.exclude(outcome=PollOutcome.OK).order_by("-started_at")[:ROWS_SHOWN]


def status_changes(state: ProviderState) -> QuerySet[StatusChange]:
    """Return the state's last changes of status, newest first, at most ROWS_SHOWN."""
    changes = StatusChange.objects.filter(provider_name=state.provider_id, sport=state.sport_id)
    return changes.order_by("-changed_at")[:ROWS_SHOWN]


def read_prices(line: PropLine) -> list[tuple[datetime, float | None]]:
    """Return the line's prices, oldest first, each with the moment from which it was valid.

    At most MOVES_SHOWN changes of price are read, and changes past their retention no longer exist.
    """
    moves = list(line.moves.order_by("-moved_at").values_list("moved_at", "was", "price")[:MOVES_SHOWN])
    moves.reverse()
    if not moves:
        return [(line.first_seen, line.price)]
    first_move_at, first_price, _ = moves[0]
    # If there are more moves than were read, the first price begins a day before the first move: it is not known when.
    begins_at = max(line.first_seen, first_move_at - DAY) if len(moves) == MOVES_SHOWN else line.first_seen
    prices: list[tuple[datetime, float | None]] = [(min(begins_at, first_move_at), first_price)]
    return prices + [(moved_at, price) for moved_at, _, price in moves]
