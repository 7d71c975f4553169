"""What the admin shows of the past: a state's last day, a line's prices. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from providers import sql
from providers.choices import Outcome
from providers.models import FetchAttempt, PollSlot, PropLine, ProviderState, StatusChange

DAY = timedelta(days=1)
MINUTES = 15
SHOWN = 8
MOVES = 500


@dataclass(frozen=True, slots=True)
class Quarter:
    """A quarter of an hour; None: no call in it, or no good poll."""

    at: datetime
    response_ms: float | None
    success: float | None  # share of calls, 0 to 1
    lines: float | None


def slot_of(state: ProviderState) -> PollSlot | None:
    account = state.provider
    return PollSlot.objects.filter(
        adapter=account.adapter,
        base_url=account.base_url,
        credential_env=account.credential_env,
        sport=state.sport_id,
    ).first()


def last_day(state: ProviderState, slot: PollSlot) -> list[Quarter]:
    """The last 24 hours in quarters of an hour, oldest first, those without a call too."""
    since = timezone.now() - DAY
    with connection.cursor() as cursor:
        cursor.execute(
            sql.LAST_DAY, {"slot": slot.pk, "provider": state.provider_id, "since": since, "minutes": MINUTES}
        )
        measured = {row[0]: Quarter(*row) for row in cursor.fetchall()}
    every = [since + number * timedelta(minutes=MINUTES) for number in range(24 * 60 // MINUTES)]
    return [measured.get(at, Quarter(at, None, None, None)) for at in every]


def last_errors(state: ProviderState, slot: PollSlot) -> QuerySet[FetchAttempt]:
    """Of the last 24 hours, the newest first."""
    recent = slot.attempts.filter(started_at__gte=timezone.now() - DAY, providers__contains=[state.provider_id])
    return recent.exclude(outcome=Outcome.OK).order_by("-started_at")[:SHOWN]


def status_history(state: ProviderState) -> QuerySet[StatusChange]:
    changes = StatusChange.objects.filter(provider_name=state.provider_id, sport=state.sport_id)
    return changes.order_by("-changed_at")[:SHOWN]


def prices(line: PropLine) -> list[tuple[datetime, float | None]]:
    """When which price came to stand, oldest first; moves older than their retention are gone."""
    moves = list(line.moves.order_by("-moved_at").values_list("moved_at", "was", "price")[:MOVES])[::-1]
    if not moves:
        return [(line.first_seen, line.price)]
    started = max(line.first_seen, moves[0][0] - DAY) if len(moves) == MOVES else line.first_seen
    return [(min(started, moves[0][0]), moves[0][1]), *((at, price) for at, _, price in moves)]
