"""What the admin's pages show of the past, drawn."""

from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console.badges import ago, badge
from core.console.charts import Chart
from core.text import elapsed, whole_units
from providers.admin import history
from providers.choices import Outcome, Status
from providers.models import PollSlot, PropLine, ProviderState


def shown_history(state: ProviderState) -> dict[str, Any]:
    """A state's last 24 hours: charts, changes of status, errors, and when it is polled next."""
    slot = history.slot_of(state)
    if slot is None:
        return {"schedule": "It was never to be polled.", "changes": _changes(state)}
    return {
        "schedule": _schedule(slot),
        "charts": _charts(history.last_day(state, slot)),
        "changes": _changes(state),
        "errors": [
            format_html("{} {}: {}", badge(Outcome(call.outcome)), ago(call.started_at), call.message)
            for call in history.last_errors(state, slot)
        ],
    }


def _changes(state: ProviderState) -> list[SafeString]:
    return [
        format_html("{} {}, by {}: {}", badge(Status(to.to_status)), ago(to.changed_at), to.actor, to.cause)
        for to in history.status_history(state)
    ]


def _schedule(slot: PollSlot) -> SafeString:
    if slot.next_poll_at is None:
        return format_html("It is not to be polled.")
    told = format_html("Next poll {}.", ago(slot.next_poll_at))
    if slot.effective_interval_seconds > slot.interval_seconds:
        every = whole_units(slot.effective_interval_seconds)
        told += format_html(" Polled every {}, so that the account's credits last the month.", every)
    if slot.backoff_level:
        told += format_html(" It is in error: probed less often, at level {}.", slot.backoff_level)
    return told


def _charts(day: list[history.Quarter]) -> list[SafeString]:
    places = [number / (len(day) - 1) for number in range(len(day))]
    ends = "24 h ago", "now"
    response = [(at, quarter.response_ms) for at, quarter in zip(places, day, strict=True)]
    success = [(at, None if q.success is None else 100 * q.success) for at, q in zip(places, day, strict=True)]
    lines = [(at, quarter.lines) for at, quarter in zip(places, day, strict=True)]
    return [
        Chart("Response time", response, *ends, unit=" ms", lowest=0).html(),
        Chart("Successful calls", success, *ends, unit=" %", lowest=0, highest=100).html(),
        Chart("Lines", lines, *ends, lowest=0).html(),
    ]


def price_chart(line: PropLine) -> SafeString:
    """The line's price from its first one on."""
    prices = history.prices(line)
    first, until = prices[0][0], line.removed_at or timezone.now()
    span = max(1.0, (until - first).total_seconds())
    points = [((at - first).total_seconds() / span, price) for at, price in prices]
    points.append((1.0, prices[-1][1]))
    start, end = elapsed((timezone.now() - first).total_seconds()), "removed" if line.removed_at else "now"
    return Chart("Price", points, start, end, steps=True).html()
