"""The admin's home page: one look tells whether all is well. It reads little: its cost does not grow with the rows."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

from django.db.models import Count, Exists
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from pghistory.models import Context

from caching.admin.context import hit_rates
from caching.freshness import FRESHNESS, STATES
from caching.models import CacheEntry, WarmUp
from core.console.badges import ago, badge, mark
from core.db.estimates import COUNTED_AT_MOST, estimated_rows
from core.health_checks import Result, Suite
from providers.choices import Status
from providers.models import ProviderState, StatusChange
from rollout import status
from rollout.admin import context as rollouts
from rollout.choices import RunKind, RunOutcome, RunState, Stage
from rollout.decisions.stages import ORDER, State, seconds_left, serves
from rollout.models import LEVELS, Activation, RecoveryRun, Rollout, Snapshot, StagePolicy, Transition
from rollout.operations.lifecycle import MOVING
from rollout.recovery.admin import context as recovery
from rollout.recovery.rollback.levels import rehearsal_fault
from validation.checks.recovery import DAILY
from validation.models import ValidationRun
from validation.operations import LATE

GRID_AT_MOST, CHANGES, OFF = 200, 15, "–"
DAY = timedelta(days=1)
Told = tuple[datetime, SafeString]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The theme's hook for the page."""
    return context | shown(request.user)


def live(request: HttpRequest) -> HttpResponse:
    """The part of the page that moves."""
    return TemplateResponse(request, "admin/home_live.html", shown(request.user))


def shown(user: Any) -> dict[str, Any]:
    """What the user may see of each part."""
    parts: dict[str, tuple[str, Callable[[], Any]]] = {
        "rollouts": ("rollout.view_rollout", partial(_rollouts, user)),
        "fleet": ("providers.view_providerstate", _fleet),
        "caches": ("caching.view_cacheentry", _caches),
        "health": ("rollout.view_recoveryrun", partial(_health, user)),
        "changes": ("rollout.view_transition", partial(_changes, user)),
    }
    seen: dict[str, Any] = {name: read() for name, (permission, read) in parts.items() if user.has_perm(permission)}
    banners = status.banners() if "rollouts" in seen else []
    needs = [need for part in seen.values() if isinstance(part, dict) for need in part["needs"]]
    is_well = len(seen) == len(parts) and not banners and not needs  # of what is not seen nothing can be said
    return seen | {"banners": banners, "needs": needs, "is_well": is_well, "every": "3s" if _is_moving() else "60s"}


def _need(said: str, page: str, query: str = "", *args: Any) -> tuple[str, str]:
    """What somebody should see to, and where."""
    return said, reverse(f"admin:{page}", args=args) + query


def _is_moving() -> bool:
    """Asked of a table of four rows, so that it is one query."""
    moving: Any = Exists(Rollout.objects.filter(run_state__in=MOVING))
    moving |= Exists(RecoveryRun.objects.open()) | Exists(WarmUp.objects.filter(ended_at=None))
    return Activation.objects.filter(moving).exists()


def _rollouts(user: Any) -> dict[str, Any]:
    policies = {(policy.rollout_id, policy.stage): policy for policy in StagePolicy.objects.all()}
    found = list(Rollout.objects.order_by("name"))
    needs = [
        _need(f"{each.name}: {each.get_run_state_display().lower()}", "rollout_rollout_change", "", each.pk)
        for each in found
        if each.run_state in (RunState.WAITING, RunState.PAUSED, RunState.COOLING)
    ]
    return {"lines": [_rollout(each, policies, user) for each in found], "needs": needs}


def _rollout(each: Rollout, policies: dict[tuple[int, str], StagePolicy], user: Any) -> dict[str, Any]:
    stage, policy = Stage(each.stage), policies.get((each.pk, each.stage))
    return {
        "name": each.name,
        "address": reverse("admin:rollout_rollout_change", args=[each.pk]),
        "state": badge(RunState(each.run_state)),
        "entered": ago(each.stage_entered_at),
        "share": serves(stage, each.percent).percent,
        "left": _left(each, policy) if policy and each.run_state == RunState.RUNNING else "",
        "ladder": [rollouts.rung(rung, stage, None, each.pace) for rung in ORDER],
        "verbs": [(verb, reverse(f"admin:rollout_{verb}", args=[each.pk])) for verb in rollouts.open_verbs(each, user)],
    }


def _left(each: Rollout, policy: StagePolicy) -> str:
    """Of the stage's time, or its percent step's."""
    state = State(
        Stage(each.stage),
        RunState(each.run_state),
        each.percent,
        each.percent_entered_at,
        each.paused_seconds,
        each.pace,
    )
    seconds = seconds_left(state, policy.plan, timezone.now())
    return f"{int(seconds // 60)}:{int(seconds % 60):02} left"


def _fleet() -> dict[str, Any]:
    counts, in_error = Counter[str](), 0
    grouped = ProviderState.objects.order_by().values_list("status", "is_enabled").annotate(Count("pk"))
    for value, is_enabled, count in grouped:
        counts[value] += count
        in_error += count if is_enabled and value == Status.ERROR else 0
    told = [(f"?status__exact={name}", badge(Status(name)), f"{counts[name]:,}") for name in sorted(counts)]
    states, is_whole = ProviderState.objects.order_by("provider", "sport"), sum(counts.values()) <= GRID_AT_MOST
    if not is_whole:
        states = states.filter(is_enabled=True, status=Status.ERROR)
    rows = list(states.values_list("pk", "provider", "sport", "status", "is_enabled")[:GRID_AT_MOST])
    sports = sorted({sport for _, _, sport, *_ in rows})
    lines = []
    for provider, of_one in groupby(rows, key=lambda row: row[1]):
        by_sport = {row[2]: row for row in of_one}
        lines.append((provider, [_cell(by_sport.get(sport)) for sport in sports]))
    legend = [*(badge(status) for status in Status), mark("gray", OFF, "not enabled")]
    needs = [
        _need(
            f"{in_error:,} in error", "providers_providerstate_changelist", "?status__exact=error&is_enabled__exact=1"
        )
    ]
    return {
        "counts": told,
        "sports": sports,
        "lines": lines,
        "is_whole": is_whole,
        "legend": legend,
        "needs": needs if in_error else [],
    }


def _cell(row: tuple[Any, ...] | None) -> SafeString | str:
    if row is None:
        return ""
    pk, provider, sport, status, is_enabled = row
    look = Status(status)
    address = reverse("admin:providers_providerstate_change", args=[pk])
    color, symbol = (look.color, look.symbol) if is_enabled else ("gray", OFF)
    said = f"{provider} {sport}: {look.label}{'' if is_enabled else ', not enabled'}"
    html = '<a id="state-{}" class="sw-{}" href="{}" title="{}" aria-label="{}">{}</a>'
    return format_html(html, pk, color, address, said, said, symbol)


def _caches() -> dict[str, Any]:
    rows = estimated_rows(CacheEntry)
    if rows <= COUNTED_AT_MOST:
        counted = {name: Count("pk", filter=condition) for name, condition in STATES.items()}
        counts, total = CacheEntry.objects.aggregate(**counted), ""
    else:  # each by its index: those are few
        counts = {name: CacheEntry.objects.filter(STATES[name]).count() for name in ("due", "stale")}
        total = f"about {rows:,}"
    told = [(f"?state={name}", mark(*FRESHNESS[name]), f"{count:,}") for name, count in counts.items()]
    needs = [_need(f"{counts['stale']:,} stale", "caching_cacheentry_changelist", "?state=stale")]
    return {"counts": told, "total": total, "needs": needs if counts["stale"] else []} | hit_rates()


def _health(user: Any) -> dict[str, Any]:
    runs = ValidationRun.objects.filter(category="").order_by("suite", "-pk").distinct("suite")
    by_suite = {run.suite: run for run in runs}
    run, snapshot, last = by_suite.get(Suite.EXIT), Snapshot.objects.first(), RecoveryRun.objects.last_rehearsals()
    return {
        "validation": run and (badge(Result(run.overall)), f"{run.passed} of {run.total} passed", ago(run.started_at)),
        "validate": user.has_perm("validation.run_validationrun") and reverse("admin:validate_EXIT"),
        "snapshot": snapshot and (ago(snapshot.created_at), snapshot.state, f"{snapshot.rows:,} rows"),
        "make_snapshot": user.has_perm("rollout.create_snapshot") and reverse("admin:rollout_snapshot_create"),
        "rehearsals": [(badge(level), recovery.rehearsed(last.get(level))) for level in LEVELS],
        "needs": [*_unvalidated(by_suite), *_unsafe(snapshot, last)],
    }


def _unvalidated(last: dict[str, ValidationRun]) -> list[tuple[str, str]]:
    """What was not looked at lately counts as little as what failed."""
    page, needs = "validation_validationrun_changelist", []
    for suite in (Suite.EXIT, Suite.EXTENDED):
        run = last.get(suite)
        if run is None or timezone.now() - run.started_at > LATE:
            needs.append(_need(f"{suite.label} not looked at {'lately' if run else 'yet'}", page))
        elif run.overall not in (Result.PASS, Result.WARN):
            needs.append(_need(f"{suite.label}: {run.passed} of {run.total} passed", page))
    return needs


def _unsafe(snapshot: Snapshot | None, last: dict[str, RecoveryRun]) -> list[tuple[str, str]]:
    """What would be missing on the day when somebody has to go back."""
    needs, page = [], "rollout_snapshot_changelist"
    if snapshot is None or timezone.now() - snapshot.created_at > DAILY:
        needs.append(_need("No snapshot of the last day", page))
    elif snapshot.problem:
        needs.append(_need(f"Snapshot {snapshot.name} is damaged", page))
    if faults := [level.label for level in LEVELS if rehearsal_fault(last.get(level), timezone.now())]:
        needs.append(_need(f"Not rehearsed well: {', '.join(faults).lower()}", "rollout_recoveryrun_changelist"))
    return needs


def _changes(user: Any) -> list[tuple[SafeString | str, SafeString | str]]:
    """Of the last day, the newest first: who did what to rollouts, fleet, data and configuration."""
    parts = {
        "rollout.view_transition": _moves,
        "providers.view_statuschange": _statuses,
        "rollout.view_recoveryrun": _recoveries,
        "pghistory.view_context": _edits,
    }
    found = [told for permission, read in parts.items() if user.has_perm(permission) for told in read(Now() - DAY)]
    newest = sorted(found, key=lambda told: told[0], reverse=True)[:CHANGES]
    return [(ago(at), said) for at, said in newest]


def _moves(since: Any) -> Iterator[Told]:
    for move in Transition.objects.filter(at__gt=since).select_related("rollout").order_by("-at")[:CHANGES]:
        where = badge(Stage(move.to_stage))
        yield move.at, format_html("{}: {} {} by {}", move.rollout, move.verb, where, move.actor)


def _statuses(since: Any) -> Iterator[Told]:
    for change in StatusChange.objects.filter(changed_at__gt=since).order_by("-changed_at")[:CHANGES]:
        name, status = f"{change.provider_name} {change.sport}", badge(Status(change.to_status))
        yield change.changed_at, format_html("{}: {} {}", name, status, change.cause)


def _recoveries(since: Any) -> Iterator[Told]:
    for run in RecoveryRun.objects.filter(started_at__gt=since)[:CHANGES]:
        address, outcome = reverse("admin:rollout_recoveryrun_change", args=[run.pk]), badge(RunOutcome(run.outcome))
        html = '<a href="{}">{}</a> {} by {}'
        yield run.started_at, format_html(html, address, badge(RunKind(run.kind)), outcome, run.actor)


def _edits(since: Any) -> Iterator[Told]:
    edits = Context.objects.filter(created_at__gt=since, metadata__has_key="verb").order_by("-created_at")[:CHANGES]
    for pk, at, told in edits.values_list("pk", "created_at", "metadata"):
        address = reverse("admin:pghistory_context_change", args=[pk])
        verb, actor = told["verb"], told.get("actor", "somebody")
        yield at, format_html('<a href="{}">configuration: {}</a> by {}', address, verb, actor)
