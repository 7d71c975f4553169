"""Store what a poll brought: one transaction, and only while the claim still holds."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from core.access.actors import SYSTEM, Actor
from providers import sql
from providers.choices import Status
from providers.fleet import health
from providers.fleet.health import Health
from providers.fleet.status_changes import change_status
from providers.models import FetchAttempt
from providers.polling import schedule
from providers.polling.line_store import Counted, store_lines
from providers.polling.messages import Claim, Poll


@dataclass(frozen=True, slots=True)
class Member:
    id: int
    status: Status
    failures: int


@dataclass(frozen=True, slots=True)
class Held:
    """The slot as it is while this transaction holds it."""

    now: datetime
    next_poll_at: datetime | None
    interval_seconds: int
    effective_interval_seconds: float
    level: int
    credits_per_poll: float
    is_polling: bool


def record(claim: Claim, poll: Poll, *, actor: Actor = SYSTEM) -> bool:
    """Store lines, calls, counters and health, and set the slot's next deadline.

    False, with nothing stored, when the lease went to another worker meanwhile or polling was switched off.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.HOLD_STATES, {"states": list(claim.members.values())})
        members = [Member(id, Status(status), failures) for id, status, failures in cursor.fetchall()]
        cursor.execute(sql.HOLD_CLAIM, {"slot": claim.slot, "fence": claim.fence})
        row = cursor.fetchone()
        if row is None:
            return False
        held = Held(*row)
        if not held.is_polling:
            cursor.execute(sql.RELEASE_CLAIM, {"slot": claim.slot, "fence": claim.fence})
            return False
        level = held.level
        if poll.calls:
            counted = store_lines(cursor, claim, poll.answer)
            _store_calls(claim, poll, counted)
            level = _store_health(cursor, held, members, poll, counted, actor)
        else:
            cursor.execute(sql.NOTE_PROBLEM, {"states": list(claim.members.values()), "problem": poll.problem})
        _finish(cursor, claim, poll, held, level)
    return True


def _store_calls(claim: Claim, poll: Poll, counted: dict[int, Counted]) -> None:
    """The first call of a good poll also says how many lines each provider had."""
    providers = sorted(claim.members)
    counts = [counted.get(claim.members[name], Counted()).lines for name in providers] if poll.is_good else []
    FetchAttempt.objects.bulk_create(
        FetchAttempt(
            slot_id=claim.slot,
            providers=providers,
            sport=claim.sport,
            late_ms=poll.late_ms,
            lines=counts if number == 0 else [],
            **asdict(call),
        )
        for number, call in enumerate(poll.calls)
    )


def _store_health(
    cursor: CursorWrapper, held: Held, members: list[Member], poll: Poll, counted: dict[int, Counted], actor: Actor
) -> int:
    """Count the poll for each member, and change the status of those that it changes. Returns the slot's level."""
    worst = max((member.failures for member in members), default=0)
    level = health.after(Health(worst, held.level), poll.ended, held.effective_interval_seconds).level
    after = {m: health.after(Health(m.failures, held.level), poll.ended, held.interval_seconds) for m in members}
    counts: dict[str, Any] = {
        "states": [member.id for member in members],
        "failures": [after[member].failures for member in members],
        "lines": [counted.get(member.id, Counted()).lines for member in members],
        "new_lines": [counted.get(member.id, Counted()).new for member in members],
        "calls": len(poll.calls),
        "good_calls": sum(call.outcome == "ok" for call in poll.calls),
        "sum_ms": sum(call.duration_ms for call in poll.calls),
        "error": poll.problem,
        "is_good": poll.is_good,
    }
    cursor.execute(sql.COUNT_POLL, counts)
    for member in members:
        failures = after[member].failures
        to = health.status(member.status, Health(failures, level), poll.ended)
        if to is not member.status:
            change_status([member.id], to, cause=_cause(member.status, to, failures, poll), actor=actor)
    return level


def _cause(was: Status, to: Status, failures: int, poll: Poll) -> str:
    if to is Status.ERROR:
        return f"{failures} failed polls in a row: {poll.problem}"
    return "first good fetch" if was is Status.INACTIVE else "it answers again"


def _finish(cursor: CursorWrapper, claim: Claim, poll: Poll, held: Held, level: int) -> None:
    effective = _effective_interval(cursor, claim, poll, held)
    polled_at = claim.deadline + timedelta(milliseconds=poll.late_ms)
    if level or effective > held.interval_seconds:
        following = schedule.after(polled_at, held.now, health.wait_seconds(effective, level))
    else:
        following = schedule.on_grid(polled_at, held.now, effective, schedule.share(claim.name))
    if poll.pause_seconds is not None:
        following = max(following, held.now + timedelta(seconds=poll.pause_seconds))
    of_claim: dict[str, Any] = {"slot": claim.slot, "fence": claim.fence, "deadline": claim.deadline}
    of_claim |= {"horizon": schedule.HORIZON, "next_poll_at": following, "pause_seconds": poll.pause_seconds}
    measured = {"level": level, "effective_interval_seconds": effective, "credits": _cost(poll, held)}
    cursor.execute(sql.FINISH_CLAIM, of_claim | measured)


def _effective_interval(cursor: CursorWrapper, claim: Claim, poll: Poll, held: Held) -> float:
    if poll.quota is None:
        return held.effective_interval_seconds
    account = {"adapter": claim.adapter, "base_url": claim.base_url, "credential_env": claim.credential_env}
    cursor.execute(sql.CREDITS_PER_SECOND, account | {"slot": claim.slot})
    (others,) = cursor.fetchone()
    own = _cost(poll, held) / held.interval_seconds
    left = schedule.seconds_of_month_left(held.now)
    return schedule.stretched(held.interval_seconds, others + own, poll.quota.left, left)


def _cost(poll: Poll, held: Held) -> float:
    """What a poll costs; a refused one, which costs nothing, says nothing about it."""
    return poll.quota.cost if poll.quota and poll.is_good else held.credits_per_poll
