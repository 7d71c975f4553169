"""Storing a poll: one transaction, which changes nothing unless the claim still holds."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F, FloatField, Sum
from django.db.models.functions import Coalesce, Now

from core.access.actors import SYSTEM, Actor
from providers.choices import PollOutcome, Status
from providers.fleet import health
from providers.fleet.health import Health
from providers.fleet.status_changes import change_status
from providers.models import FetchAttempt, PollSlot, ProviderState
from providers.polling import schedule, sql
from providers.polling.claims import release
from providers.polling.line_store import LineCount, store_lines
from providers.upstream.messages import Claim, Poll


@dataclass(frozen=True, slots=True)
class Member:
    """A provider state that the slot serves, as it was before the poll."""

    id: int
    status: Status
    failed_polls_in_a_row: int


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """The slot, as this transaction holds it."""

    now: datetime
    interval_seconds: int
    effective_interval_seconds: float
    backoff_level: int
    credits_per_poll: float
    is_polling: bool


def store_poll(claim: Claim, poll: Poll, *, actor: Actor = SYSTEM) -> bool:
    """Store the poll's lines, calls, counters and health, and set the slot's next deadline.

    If another worker has the lease by now, or polling was switched off, store nothing and return False.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Every operation locks in this order: states first, then slots.
        members = _hold_members(claim)
        cursor.execute(sql.HOLD_CLAIM, {"slot": claim.slot, "fence": claim.fence})
        row = cursor.fetchone()
        if row is None:
            return False
        slot = HeldSlot(*row)
        if not slot.is_polling:
            release(claim)
            return False
        backoff_level = slot.backoff_level
        if poll.calls:
            counts = store_lines(cursor, claim, poll.answer)
            _store_calls(claim, poll, counts)
            backoff_level = _store_health(cursor, slot, members, poll, counts, actor)
        else:
            _store_problem(claim, poll.problem)
        _finish(cursor, claim, poll, slot, backoff_level)
    return True


def _hold_members(claim: Claim) -> list[Member]:
    """Lock the states of the claim in the order of their ids."""
    states = ProviderState.objects.select_for_update(no_key=True).filter(pk__in=claim.members.values()).order_by("pk")
    return [
        Member(pk, Status(status), failed_polls)
        for pk, status, failed_polls in states.values_list("pk", "status", "consecutive_errors")
    ]


def _store_problem(claim: Claim, problem: str) -> None:
    """Store why no call was made. Nothing is counted, and a row is rewritten only if its reason is a new one."""
    states = ProviderState.objects.filter(pk__in=claim.members.values()).exclude(last_error=problem)
    states.update(last_error=problem, updated_at=Now())


def _store_calls(claim: Claim, poll: Poll, counts: dict[int, LineCount]) -> None:
    """Store a row per call. The first row also holds each provider's number of lines if the poll is good."""
    providers = sorted(claim.members)
    lines = [counts.get(claim.members[name], LineCount()).lines for name in providers] if poll.is_good else []
    FetchAttempt.objects.bulk_create(
        FetchAttempt(
            slot_id=claim.slot,
            providers=providers,
            sport=claim.sport,
            late_ms=poll.late_ms,
            lines=lines if number == 0 else [],
            **asdict(call),
        )
        for number, call in enumerate(poll.calls)
    )


def _store_health(
    cursor: CursorWrapper, slot: HeldSlot, members: list[Member], poll: Poll, counts: dict[int, LineCount], actor: Actor
) -> int:
    """Count the poll for each member, and store the changes of their statuses. Return the slot's new back-off level."""
    most_failures = max((member.failed_polls_in_a_row for member in members), default=0)
    slot_health = Health(most_failures, slot.backoff_level)
    backoff_level = health.after_poll(slot_health, poll.result, slot.effective_interval_seconds).level
    failures = {
        member.id: health.after_poll(
            Health(member.failed_polls_in_a_row, slot.backoff_level), poll.result, slot.interval_seconds
        ).failures
        for member in members
    }
    line_counts = [counts.get(member.id, LineCount()) for member in members]
    params: dict[str, Any] = {
        "states": list(failures),
        "failures": list(failures.values()),
        "lines": [count.lines for count in line_counts],
        "new_lines": [count.new for count in line_counts],
        "calls": len(poll.calls),
        "good_calls": len([call for call in poll.calls if call.outcome == PollOutcome.OK]),
        "sum_ms": sum(call.duration_ms for call in poll.calls),
        "error": poll.problem,
        "is_good": poll.is_good,
    }
    cursor.execute(sql.COUNT_POLL, params)
    for member in members:
        member_health = Health(failures[member.id], backoff_level)
        status = health.status_after_poll(member.status, member_health, poll.result)
        if status is not member.status:
            cause = _cause_of_change(member.status, status, member_health.failures, poll)
            change_status([member.id], status, cause=cause, actor=actor)
    return backoff_level


def _cause_of_change(before: Status, after: Status, failures: int, poll: Poll) -> str:
    if after is Status.ERROR:
        return f"{failures} failed polls in a row: {poll.problem}"
    return "first good fetch" if before is Status.INACTIVE else "the upstream answers again"


def _finish(cursor: CursorWrapper, claim: Claim, poll: Poll, slot: HeldSlot, backoff_level: int) -> None:
    """End the lease and set the slot's next deadline."""
    interval_seconds = _effective_interval_seconds(claim, poll, slot)
    polled_at = claim.deadline + timedelta(milliseconds=poll.late_ms)
    if backoff_level or interval_seconds > slot.interval_seconds:
        wait_seconds = health.wait_seconds(interval_seconds, backoff_level)
        next_poll_at = schedule.next_after_wait(polled_at, slot.now, wait_seconds)
    else:
        share = schedule.grid_share(claim.name)
        next_poll_at = schedule.next_on_grid(polled_at, slot.now, interval_seconds, share)
    if poll.pause_seconds is not None:
        next_poll_at = max(next_poll_at, slot.now + timedelta(seconds=poll.pause_seconds))
    params: dict[str, Any] = {
        "slot": claim.slot,
        "fence": claim.fence,
        "deadline": claim.deadline,
        "horizon": schedule.HORIZON,
        "next_poll_at": next_poll_at,
        "pause_seconds": poll.pause_seconds,
        "backoff_level": backoff_level,
        "effective_interval_seconds": interval_seconds,
        "credits": _credits_per_poll(poll, slot),
    }
    cursor.execute(sql.FINISH_CLAIM, params)


def _effective_interval_seconds(claim: Claim, poll: Poll, slot: HeldSlot) -> float:
    if poll.quota is None:
        return slot.effective_interval_seconds
    credits_per_second = _credits_per_second_of_others(claim) + _credits_per_poll(poll, slot) / slot.interval_seconds
    return schedule.stretched_interval(
        slot.interval_seconds, credits_per_second, poll.quota.left, schedule.seconds_left_in_month(slot.now)
    )


def _credits_per_second_of_others(claim: Claim) -> float:
    """Return what the account's other slots use at the intervals that the operators set."""
    slots = PollSlot.objects.filter(
        adapter=claim.adapter,
        base_url=claim.base_url,
        credential_env=claim.credential_env,
        next_poll_at__isnull=False,
    ).exclude(pk=claim.slot)
    use = Sum(F("credits_per_poll") / F("interval_seconds"), output_field=FloatField())
    return float(slots.aggregate(use=Coalesce(use, 0.0))["use"])


def _credits_per_poll(poll: Poll, slot: HeldSlot) -> float:
    """Return the cost of a poll. A failed poll costs nothing, so the known cost stays."""
    return poll.quota.cost if poll.quota and poll.is_good else slot.credits_per_poll
