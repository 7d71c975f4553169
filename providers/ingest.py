"""Store what a poll brought: one transaction, and only while the claim still holds."""

from dataclasses import asdict
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from providers import sql
from providers.adapters.odds_api import EVERY_BOOKMAKER
from providers.choices import Status
from providers.feed import Claim, Line, Poll
from providers.models import FetchAttempt
from providers.status import change_status
from rollout.actors import SYSTEM, Actor
from rollout.choices import Part
from rollout.models import Activation


def record(claim: Claim, poll: Poll, *, actor: Actor = SYSTEM) -> bool:
    """Store lines, calls and counters, and set the slot's next deadline.

    False, with nothing stored, when the lease went to another worker meanwhile or polling was switched off.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.HOLD_STATES, {"states": list(claim.members.values())})
        cursor.execute(sql.HOLD_CLAIM, {"slot": claim.slot, "fence": claim.fence})
        if cursor.rowcount == 0:
            return False
        if not Activation.objects.allows(Part.POLLING):
            _finish(cursor, sql.RELEASE_CLAIM, claim)
            return False
        stored = _store_lines(cursor, claim, poll)
        _store_calls(claim, poll)
        for state in claim.members.values():
            lines, new = stored.get(state, (0, 0))
            if poll.calls:
                _count(cursor, state, poll, lines, new)
            else:
                cursor.execute(sql.NOTE_PROBLEM, {"state": state, "problem": poll.problem})
            if poll.calls and poll.is_good:
                change_status([state], Status.ACTIVE, only_from=Status.INACTIVE, cause="first good fetch", actor=actor)
        _finish(cursor, sql.FINISH_CLAIM, claim)
    return True


def _finish(cursor: CursorWrapper, statement: str, claim: Claim) -> None:
    cursor.execute(statement, {"slot": claim.slot, "fence": claim.fence, "deadline": claim.deadline})


def _store_lines(cursor: CursorWrapper, claim: Claim, poll: Poll) -> dict[int, tuple[int, int]]:
    """Returns, per member's state, how many lines the answer held and how many of them were new."""
    answer = poll.answer
    if not answer.games:
        return {}
    events = _store_games(cursor, claim, poll)
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    held = dict.fromkeys(claim.members.values(), 0)
    for provider, state in claim.members.items():
        for line in answer.lines:
            if line.event in events and is_of(line, provider):
                held[state] += 1
                for name, value in zip(_COLUMNS, _row(state, events, line), strict=True):
                    columns[name].append(value)
    cursor.execute(sql.STORE_LINES, columns)
    new = dict(cursor.fetchall())
    spoken_of: dict[str, Any] = {
        "members": list(claim.members.values()),
        "is_listed": bool(answer.listed),
        "listed": list(answer.listed),
        "offered": list(answer.offered),
        "player_offered": list(answer.player_offered),
    }
    cursor.execute(sql.MARK_REMOVED, columns | spoken_of)
    return {state: (count, new.get(state, 0)) for state, count in held.items()}


_COLUMNS = ("states", "events", "bookmakers", "markets", "players", "sides", "points", "prices")


def _row(state: int, events: dict[str, int], line: Line) -> tuple[Any, ...]:
    return state, events[line.event], line.bookmaker, line.market, line.player, line.side, line.point, line.price


def is_of(line: Line, provider: str) -> bool:
    return provider in EVERY_BOOKMAKER or line.bookmaker == provider


def _store_games(cursor: CursorWrapper, claim: Claim, poll: Poll) -> dict[str, int]:
    """Returns the row ids of the games, by the upstream's id."""
    games = poll.answer.games
    columns: dict[str, Any] = {
        "source": claim.source,
        "sport": claim.sport,
        "ids": [game.id for game in games],
        "homes": [game.home_team for game in games],
        "aways": [game.away_team for game in games],
        "starts": [game.starts_at for game in games],
    }
    cursor.execute(sql.STORE_EVENTS, columns)
    return dict(cursor.fetchall())


def _store_calls(claim: Claim, poll: Poll) -> None:
    FetchAttempt.objects.bulk_create(
        FetchAttempt(
            slot_id=claim.slot, providers=sorted(claim.members), sport=claim.sport, late_ms=poll.late_ms, **asdict(call)
        )
        for call in poll.calls
    )


def _count(cursor: CursorWrapper, state: int, poll: Poll, lines: int, new: int) -> None:
    counts: dict[str, Any] = {
        "calls": len(poll.calls),
        "good_calls": sum(call.outcome == "ok" for call in poll.calls),
        "sum_ms": sum(call.duration_ms for call in poll.calls),
    }
    result: dict[str, Any] = {
        "state": state,
        "error": poll.problem,
        "is_good": poll.is_good,
        "lines": lines,
        "new_lines": new,
    }
    cursor.execute(sql.COUNT_POLL, counts | result)
