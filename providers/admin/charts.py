"""Charts and texts of the admin's pages about the past of a provider state and of a line."""

from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console.badges import ago, badge
from core.console.charts import Chart
from core.text import elapsed, whole_units
from providers.admin import history
from providers.choices import PollOutcome, Status
from providers.models import PollSlot, PropLine, ProviderState


def history_context(state: ProviderState) -> dict[str, Any]:
    """Return what the state's page shows of its last 24 hours.

    The context holds the schedule of its polls and the changes of its status, and, if it was ever enabled, charts and
    the last errors.
    """
    slot = history.find_slot(state)
    if slot is None:
        schedule = "It was never enabled, so it was never polled."
        return {"schedule": schedule, "changes": _describe_status_changes(state)}
    return {
        "schedule": _describe_schedule(slot),
        "charts": _draw_day(history.read_last_day(state, slot)),
        "changes": _describe_status_changes(state),
        "errors": [
            format_html("{} {}: {}", badge(PollOutcome(call.outcome)), ago(call.started_at), call.message)
            for call in history.last_errors(state, slot)
        ],
    }


def _describe_status_changes(state: ProviderState) -> list[SafeString]:
    return [
        format_html(
            "{} {}, by {}: {}", badge(Status(change.to_status)), ago(change.changed_at), change.actor, change.cause
        )
        for change in history.status_changes(state)
    ]


def _describe_schedule(slot: PollSlot) -> SafeString:
    if slot.next_poll_at is None:
        return format_html("It is not polled: it is disabled or in maintenance.")
    text = format_html("Next poll {}.", ago(slot.next_poll_at))
    if slot.effective_interval_seconds > slot.interval_seconds:
        interval = whole_units(slot.effective_interval_seconds)
        text += format_html(" Polled every {}, so that the account's credits last the month.", interval)
    if slot.backoff_level:
        text += format_html(" It is in error and polled less often (at level {}).", slot.backoff_level)
    return text


def _draw_day(day: list[history.Quarter]) -> list[SafeString]:
    """Return the charts of a day: its quarters of an hour, evenly spaced from left to right."""
    places = [number / (len(day) - 1) for number in range(len(day))]
    ends = "24 h ago", "now"
    percents = [None if quarter.success is None else 100 * quarter.success for quarter in day]
    response_ms = [quarter.response_ms for quarter in day]
    lines = [quarter.lines for quarter in day]
    return [
        Chart("Response time", list(zip(places, response_ms, strict=True)), *ends, unit=" ms", lowest=0).html(),
        Chart(
            "Successful calls", list(zip(places, percents, strict=True)), *ends, unit=" %", lowest=0, highest=100
        ).html(),
        Chart("Lines", list(zip(places, lines, strict=True)), *ends, lowest=0).html(),
    ]


def draw_prices(line: PropLine) -> SafeString:
    """Return the chart of the line's price, from its first price on."""
    prices = history.read_prices(line)
    start, end = prices[0][0], line.removed_at or timezone.now()
    span_seconds = max(1.0, (end - start).total_seconds())
    points = [((since - start).total_seconds() / span_seconds, price) for since, price in prices]
    points.append((1.0, prices[-1][1]))
    start_label = elapsed((timezone.now() - start).total_seconds())
    end_label = "removed" if line.removed_at else "now"
    return Chart("Price", points, start_label, end_label, is_stepped=True).html()
