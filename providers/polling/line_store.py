"""Bring the tables of games and lines to what a poll's answer says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.backends.utils import CursorWrapper

from providers import sql
from providers.adapters import UPSTREAMS
from providers.polling.messages import Answer, Claim, Game, Line

WORTH_ANALYZING = 1000  # lines; below it the planner's guess does


@dataclass(frozen=True, slots=True)
class Counted:
    """A member's lines in the answer."""

    lines: int = 0
    new: int = 0


def store_lines(cursor: CursorWrapper, claim: Claim, answer: Answer) -> dict[int, Counted]:
    """Inside the caller's transaction, which holds the slot. Returns each member's count, by the id of its state."""
    if not answer.games and not answer.lines:
        return {}
    events = _store_games(cursor, claim, answer.games)
    is_of = UPSTREAMS[claim.adapter].is_of
    cursor.execute(sql.INCOMING_LINES)
    held = {state: _copy(cursor, state, provider, answer, events, is_of) for provider, state in claim.members.items()}
    if sum(held.values()) >= WORTH_ANALYZING:
        cursor.execute(sql.ANALYZE_LINES)
    spoken_of = {
        name: [events[game] for game in games if game in events]
        for name, games in (
            ("events", events),
            ("listed", answer.listed),
            ("offered", answer.offered),
            ("player_offered", answer.player_offered),
        )
    }
    flags = {"is_listed": bool(answer.listed), "has_gameless": answer.has_gameless}
    cursor.execute(sql.STORE_LINES, {"members": list(claim.members.values()), **spoken_of, **flags})
    new = dict(cursor.fetchall())
    return {state: Counted(count, new.get(state, 0)) for state, count in held.items()}


def _copy(
    cursor: CursorWrapper,
    state: int,
    provider: str,
    answer: Answer,
    events: dict[str, int],
    is_of: Callable[[Line, str], bool],
) -> int:
    """Send a member's lines to the temporary table. Returns how many."""
    count = 0
    with cursor.copy(sql.COPY_LINES) as copy:
        for line in answer.lines:
            if (line.event in events or not line.event) and is_of(line, provider):
                place = events.get(line.event)
                copy.write_row(
                    (state, place, line.bookmaker, line.market, line.player, line.side, line.point, line.price)
                )
                count += 1
    return count


def _store_games(cursor: CursorWrapper, claim: Claim, games: tuple[Game, ...]) -> dict[str, int]:
    """Returns the row ids of the games, by the upstream's id."""
    columns: dict[str, Any] = {
        "source": claim.source,
        "sport": claim.sport,
        "ids": [game.id for game in games],
        "homes": [game.home_team for game in games],
        "aways": [game.away_team for game in games],
        "starts": [game.starts_at for game in games],
    }
    cursor.execute(sql.STORE_EVENTS, columns)
    cursor.execute(sql.READ_EVENTS, {"source": claim.source, "ids": columns["ids"]})
    return dict(cursor.fetchall())
