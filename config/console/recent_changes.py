"""The list of recent changes on the home page: those of rollouts, the fleet, recovery and the configuration."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models.functions import Now
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from pghistory.models import Context

from core.console.badges import ago, badge
from providers.choices import Status
from providers.models import StatusChange
from rollout.choices import RunKind, RunOutcome, Stage
from rollout.models import RecoveryRun, Transition

CHANGES_AT_MOST = 15
CHANGES_WITHIN = timedelta(days=1)


class Change(NamedTuple):
    """An entry of the list of recent changes."""

    moment: datetime
    description: SafeString


def recent_changes(user: Any) -> list[tuple[SafeString | str, SafeString]]:
    """Return the changes of the last day that the user may see, the newest first, each with its relative time."""
    sources: dict[str, Callable[[Any], Iterator[Change]]] = {
        "rollout.view_transition": _transitions,
        "providers.view_statuschange": _status_changes,
        "rollout.view_recoveryrun": _recovery_runs,
        "pghistory.view_context": _configuration_edits,
    }
    since = Now() - CHANGES_WITHIN
    changes = [change for permission, read in sources.items() if user.has_perm(permission) for change in read(since)]
    newest = sorted(changes, key=lambda change: change.moment, reverse=True)[:CHANGES_AT_MOST]
    return [(ago(change.moment), change.description) for change in newest]


def _transitions(since: Any) -> Iterator[Change]:
    rows = Transition.objects.filter(at__gt=since).select_related("rollout").order_by("-at")[:CHANGES_AT_MOST]
    for row in rows:
        stage = badge(Stage(row.to_stage))
        yield Change(row.at, format_html("{}: {} {} by {}", row.rollout, row.verb, stage, row.actor))


def _status_changes(since: Any) -> Iterator[Change]:
    for row in StatusChange.objects.filter(changed_at__gt=since).order_by("-changed_at")[:CHANGES_AT_MOST]:
        name, state = f"{row.provider_name} {row.sport}", badge(Status(row.to_status))
        yield Change(row.changed_at, format_html("{}: {} {}", name, state, row.cause))


def _recovery_runs(since: Any) -> Iterator[Change]:
    for run in RecoveryRun.objects.filter(started_at__gt=since)[:CHANGES_AT_MOST]:
        address, outcome = reverse("admin:rollout_recoveryrun_change", args=[run.pk]), badge(RunOutcome(run.outcome))
        html = '<a href="{}">{}</a> {} by {}'
        yield Change(run.started_at, format_html(html, address, badge(RunKind(run.kind)), outcome, run.actor))


def _configuration_edits(since: Any) -> Iterator[Change]:
    edits = Context.objects.filter(created_at__gt=since, metadata__has_key="verb").order_by("-created_at")
    for pk, moment, metadata in edits.values_list("pk", "created_at", "metadata")[:CHANGES_AT_MOST]:
        address = reverse("admin:pghistory_context_change", args=[pk])
        html = '<a href="{}">configuration: {}</a> by {}'
        yield Change(moment, format_html(html, address, metadata["verb"], metadata.get("actor", "unknown")))
