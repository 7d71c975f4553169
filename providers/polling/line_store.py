"""The tables of games and lines, brought up to date with a poll's answer."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.backends.utils import CursorWrapper

from providers.adapters import find_upstream
from providers.models import Event
from providers.polling import sql
from providers.upstream.messages import Answer, Claim, Game, Line

WORTH_ANALYZING = 1000  # lines; for fewer of them the planner's guess is good enough


@dataclass(frozen=True, slots=True)
class LineCount:
    """The number of a member's lines in the answer, and how many of them are new."""

    lines: int = 0
    new: int = 0


def store_lines(cursor: CursorWrapper, claim: Claim, answer: Answer) -> dict[int, LineCount]:
    """Store the answer's games and lines. Return each member's count by the id of its state.

    The caller's transaction holds the slot.
    """
    if not answer.games and not answer.lines:
        return {}
    events = _store_games(cursor, claim, answer.games)
    upstream = find_upstream(claim.adapter)
    storable = [line for line in answer.lines if line.event in events or not line.event]
    cursor.execute(sql.INCOMING_LINES)
    counts = {}
    for provider, state in claim.members.items():
        lines = [line for line in storable if upstream.is_line_of(line, provider)]
        _copy(cursor, state, lines, events)
        counts[state] = len(lines)
    if sum(counts.values()) >= WORTH_ANALYZING:
        cursor.execute(sql.ANALYZE_LINES)

    def ids_of(games: Iterable[str]) -> list[int]:
        return [events[game] for game in games if game in events]

    covered: dict[str, Any] = {
        "members": list(claim.members.values()),
        "events": list(events.values()),
        "is_listed": bool(answer.listed),
        "listed": ids_of(answer.listed),
        "offered": ids_of(answer.offered),
        "player_offered": ids_of(answer.player_offered),
        "has_gameless": answer.has_gameless,
    }
    cursor.execute(sql.STORE_LINES, covered)
    new = dict(cursor.fetchall())
    return {state: LineCount(count, new.get(state, 0)) for state, count in counts.items()}


def _copy(cursor: CursorWrapper, state: int, lines: list[Line], events: dict[str, int]) -> None:
    """Send a member's lines to the temporary table."""
    with cursor.copy(sql.COPY_LINES) as copy:
        for line in lines:
            event = events.get(line.event)
            copy.write_row((state, event, line.bookmaker, line.market, line.player, line.side, line.point, line.price))


def _store_games(cursor: CursorWrapper, claim: Claim, games: tuple[Game, ...]) -> dict[str, int]:
    """Store the games. Return their row ids by the upstream's ids."""
    ids = [game.id for game in games]
    columns: dict[str, Any] = {
        "source": claim.source,
        "sport": claim.sport,
        "ids": ids,
        "homes": [game.home_team for game in games],
        "aways": [game.away_team for game in games],
        "starts": [game.starts_at for game in games],
    }
    cursor.execute(sql.STORE_EVENTS, columns)
    return dict(Event.objects.filter(source=claim.source, external_id__in=ids).values_list("external_id", "pk"))
