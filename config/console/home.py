"""The console's home page: whether everything is well, at a glance.

Its queries are few, and their cost does not grow with the tables: large tables are estimated, not counted.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.models import Count, Exists, F
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from caching.admin.context import hit_rates_context
from caching.freshness import CHEAP_TO_COUNT, CONDITIONS, Freshness
from caching.models import CacheEntry, WarmUp
from config.console.recent_changes import recent_changes
from core.console.badges import ago, badge, styled_word
from core.db.estimates import COUNTED_AT_MOST, estimated_rows
from core.db.lock_wait import short_lock_waits, unless_locked
from core.errors import first_line
from core.health_checks import Result, Suite
from core.redaction import redact
from core.text import duration
from providers.choices import Status
from providers.models import ProviderState
from rollout import status
from rollout.admin import context as rollouts
from rollout.choices import RunState, Stage
from rollout.decisions.stages import ORDER, Progress, seconds_left, serving_at
from rollout.models import LEVELS, Activation, RecoveryRun, Rollout, Snapshot, StagePolicy, VisitEvidence
from rollout.operations.lifecycle import MOVING
from rollout.recovery.admin import context as recovery
from rollout.recovery.rollback.rehearsal import rehearsal_fault
from validation.checks.recovery import SNAPSHOT_AGE_LIMIT
from validation.models import ValidationRun
from validation.operations import OVERDUE_AFTER

GRID_AT_MOST = 200  # provider states; of a larger fleet only those in error are shown
NOT_ENABLED = "–"


class Problem(NamedTuple):
    """Something that an operator should look at, and the page where it is shown."""

    message: str
    address: str


@dataclass(frozen=True, slots=True)
class RolloutCard:
    """The card of one rollout.

    share: the percent of traffic that the candidate serves.
    time_left: of the stage or its percent step; empty if no time is running.
    verbs: the verbs that the user may use now, with their addresses.
    """

    name: str
    address: str
    state: SafeString
    entered: SafeString | str
    share: int
    time_left: str
    ladder: list[rollouts.Rung]
    verbs: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RolloutsContext:
    """The context of the rollouts."""

    cards: list[RolloutCard]
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class FleetGrid:
    """The fleet's table: the sports of its columns, and a row of cells per provider."""

    sports: list[str]
    rows: list[tuple[str, list[SafeString | str]]]


@dataclass(frozen=True, slots=True)
class FleetContext:
    """The context of the fleet.

    counts: the number of states by status: the query of the list's filter, the badge and the count.
    is_whole: whether the grid shows all states, or only the enabled ones in error.
    """

    counts: list[tuple[str, SafeString, str]]
    is_whole: bool
    legend: list[SafeString]
    grid: FleetGrid
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class CachesContext:
    """The context of the caches.

    counts: the number of entries by freshness: the query of the list's filter, the badge and the count.
    total: the estimated number of all entries; empty if every entry is in `counts`.
    """

    counts: list[tuple[str, SafeString, str]]
    total: str
    hit_rates: list[dict[str, Any]]
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class HealthContext:
    """The context of validation and recovery.

    validation: the newest run's badge, its count of passed checks and its time; None before the first run.
    validate, make_snapshot: the address of the verb; empty if the user may not use it.
    snapshot: the newest snapshot's time, state and number of rows; None if no snapshot exists.
    rehearsals: the badge of each level, and its last rehearsal.
    """

    validation: tuple[SafeString, str, SafeString | str] | None
    validate: str
    snapshot: tuple[SafeString | str, str, str] | None
    make_snapshot: str
    rehearsals: list[tuple[SafeString, SafeString]]
    problems: list[Problem]


PARTS = ("rollouts", "fleet", "caches", "health")


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of the home page. The theme calls this function by its setting DASHBOARD_CALLBACK."""
    return context | home_context(request.user)


def live(request: HttpRequest) -> HttpResponse:
    """Answer with the part of the page that refreshes itself."""
    return TemplateResponse(request, "admin/home_live.html", home_context(request.user))


def home_context(user: Any) -> dict[str, Any]:
    """Return the context of each part of the page that the user may see, and that no other session locks.

    Everything is well only if the user may see every part: the page must not vouch for a part that it did not read.
    """
    readers: dict[str, tuple[str, Callable[[], Any]]] = {
        "rollouts": ("rollout.view_rollout", partial(_rollouts_context, user)),
        "fleet": ("providers.view_providerstate", _fleet_context),
        "caches": ("caching.view_cacheentry", _caches_context),
        "health": ("rollout.view_recoveryrun", partial(_health_context, user)),
        "changes": ("rollout.view_transition", partial(recent_changes, user)),
        "banners": ("rollout.view_rollout", status.banners),
    }
    allowed = {name: read for name, (permission, read) in readers.items() if user.has_perm(permission)}
    parts = _read_unlocked(allowed | {"moving": _is_moving})
    problems = [problem for name in PARTS if name in parts for problem in parts[name].problems]
    if locked := [name for name in allowed if name not in parts]:
        problems.append(_problem(f"Another session locks what these need: {', '.join(locked)}", "index"))
    is_whole = parts.keys() >= readers.keys()
    return {"changes": None, "banners": [], **parts} | {
        "problems": problems,
        "is_well": is_whole and not parts["banners"] and not problems,
        "every": "3s" if parts.get("moving") else "60s",
    }


def _read_unlocked(readers: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return what each reader reads, without those that wait for another session's lock."""
    parts = unless_locked(lambda: {name: read() for name, read in readers.items()})
    if parts is None:  # one by one, which takes more queries
        by_name = {name: unless_locked(read) for name, read in readers.items()}
        parts = {name: part for name, part in by_name.items() if part is not None}
    return parts


def _problem(message: str, page: str, *args: Any, query: str = "") -> Problem:
    """Return the problem with the address of an admin page.

    query: the filter of a list, with its question mark.
    """
    return Problem(message, reverse(f"admin:{page}", args=args) + query)


def _is_moving() -> bool:
    """Return whether a rollout, a recovery run or a warm-up is under way.

    The condition is asked of the table of parts, which has four rows, so that one query answers it.
    """
    moving: Any = Exists(Rollout.objects.filter(run_state__in=MOVING))
    moving |= Exists(RecoveryRun.objects.open()) | Exists(WarmUp.objects.filter(ended_at=None))
    return Activation.objects.filter(moving).exists()


def _rollouts_context(user: Any) -> RolloutsContext:
    all_rollouts = list(Rollout.objects.listed().order_by("name"))
    active = [rollout for rollout in all_rollouts if rollout.stage != Stage.DISABLED]
    policies, fault = _read_policies(active) if active else ({}, "")
    idle_seconds = _read_idle_seconds(active) if active else {}
    problems = [
        _problem(f"{rollout.name}: {rollout.get_run_state_display().lower()}", "rollout_rollout_change", rollout.pk)
        for rollout in all_rollouts
        if rollout.run_state in (RunState.WAITING, RunState.PAUSED, RunState.COOLING)
    ]
    cards = []
    for rollout in all_rollouts:
        policy = policies.get((rollout.pk, rollout.stage))
        time_left = _time_left(rollout, policy, fault, idle_seconds.get(rollout.pk, 0.0))
        cards.append(_rollout_card(rollout, policy, time_left, user))
    return RolloutsContext(cards, problems)


def _read_policies(active: Sequence[Rollout]) -> tuple[dict[tuple[int, str], StagePolicy], str]:
    """Return the policies of the rollouts by rollout and stage, and why they cannot be read: empty if they can be."""
    try:
        with short_lock_waits():
            rows = StagePolicy.objects.filter(rollout__in=active)
            return {(policy.rollout_id, policy.stage): policy for policy in rows}, ""
    except DatabaseError as error:
        return {}, redact(first_line(error, type(error).__name__))


def _read_idle_seconds(active: Sequence[Rollout]) -> dict[int, float]:
    """Return the time in which each rollout's stage, or percent step, was not in effect, by rollout."""
    percents = {rollout.pk: rollout.percent for rollout in active}
    rows = VisitEvidence.objects.filter(rollout__in=active, visit=F("rollout__visit"))
    try:
        with short_lock_waits():
            return {row.pk: row.decoded().idle_at(percents[row.pk]) for row in rows}
    except DatabaseError:  # the time left is shown as if all of it counted
        return {}


def _rollout_card(rollout: Rollout, policy: StagePolicy | None, time_left: str, user: Any) -> RolloutCard:
    stage = Stage(rollout.stage)
    verbs = [verb for verb in rollouts.open_verbs(rollout, user) if verb not in rollouts.RARE_VERBS]
    return RolloutCard(
        name=rollout.name,
        address=reverse("admin:rollout_rollout_change", args=[rollout.pk]),
        state=badge(RunState(rollout.run_state)),
        entered=ago(rollout.stage_entered_at),
        share=serving_at(stage, rollout.percent, policy.hold_back_percent if policy else 0).percent,
        time_left=time_left,
        ladder=[rollouts.rung(rung, stage, None, rollout.pace) for rung in ORDER],
        verbs=[(verb, reverse(f"admin:rollout_{verb}", args=[rollout.pk])) for verb in verbs],
    )


def _time_left(rollout: Rollout, policy: StagePolicy | None, fault: str, idle_seconds: float) -> str:
    """Return the time that is left of the stage or its percent step, or why that is not known; empty if no time runs.

    policy: that of the rollout's stage; None if there is none, or if it cannot be read.
    fault: why the policies cannot be read; empty if they can be.
    idle_seconds: the time since then in which the stage was not in effect.
    """
    if rollout.run_state != RunState.RUNNING:
        return ""
    if policy is None:
        return f"cannot be judged: {fault or f'it has no policy for {rollout.stage}'}"
    progress = Progress(
        Stage(rollout.stage),
        RunState(rollout.run_state),
        rollout.percent,
        rollout.percent_entered_at,
        paused_seconds=rollout.paused_seconds,
        idle_seconds=idle_seconds,
        pace=rollout.pace,
    )
    try:
        seconds = seconds_left(progress, policy.plan, timezone.now())
    except (ArithmeticError, ValueError) as error:  # a policy with numbers that no clock can count
        return f"cannot be judged: {error}"
    return f"{int(seconds // 60)}:{int(seconds % 60):02} left"


def _fleet_context() -> FleetContext:
    counts, in_error = Counter[str](), 0
    grouped = ProviderState.objects.order_by().values_list("status", "is_enabled").annotate(Count("pk"))
    for value, is_enabled, count in grouped:
        counts[value] += count
        if is_enabled and value == Status.ERROR:
            in_error += count
    query = "?status__exact=error&is_enabled__exact=1"
    problem = _problem(f"Provider states in error: {in_error:,}", "providers_providerstate_changelist", query=query)
    is_whole = sum(counts.values()) <= GRID_AT_MOST
    return FleetContext(
        counts=[(f"?status__exact={name}", badge(Status(name)), f"{counts[name]:,}") for name in sorted(counts)],
        is_whole=is_whole,
        legend=[*(badge(state) for state in Status), styled_word("gray", NOT_ENABLED, "not enabled")],
        grid=_fleet_grid(is_whole),
        problems=[problem] if in_error else [],
    )


def _fleet_grid(is_whole: bool) -> FleetGrid:
    """Return the fleet's table, a row per provider and a column per sport.

    is_whole: show all states, else only the enabled ones in error.
    """
    states = ProviderState.objects.order_by("provider", "sport")
    if not is_whole:
        states = states.filter(is_enabled=True, status=Status.ERROR)
    rows = list(states.values_list("pk", "provider", "sport", "status", "is_enabled")[:GRID_AT_MOST])
    sports = sorted({sport for _, _, sport, *_ in rows})
    grid_rows = []
    for provider, provider_rows in groupby(rows, key=lambda row: row[1]):
        by_sport = {row[2]: row for row in provider_rows}
        grid_rows.append((provider, [_grid_cell(by_sport.get(sport)) for sport in sports]))
    return FleetGrid(sports, grid_rows)


def _grid_cell(row: tuple[int, str, str, str, bool] | None) -> SafeString | str:
    if row is None:
        return ""
    pk, provider, sport, value, is_enabled = row
    state = Status(value)
    address = reverse("admin:providers_providerstate_change", args=[pk])
    color, symbol = (state.color, state.symbol) if is_enabled else ("gray", NOT_ENABLED)
    title = f"{provider} {sport}: {state.label}{'' if is_enabled else ', not enabled'}"
    html = '<a id="state-{}" class="sw-{}" href="{}" title="{}" aria-label="{}">{}</a>'
    return format_html(html, pk, color, address, title, title, symbol)


def _caches_context() -> CachesContext:
    """Return the entries by freshness. Of a large table only the states that an index counts cheaply are counted."""
    rows = estimated_rows(CacheEntry)
    if rows <= COUNTED_AT_MOST:
        counted = {name.value: Count("pk", filter=condition) for name, condition in CONDITIONS.items()}
        counts, total = CacheEntry.objects.aggregate(**counted), ""
    else:
        counts = {name.value: CacheEntry.objects.filter(CONDITIONS[name]).count() for name in CHEAP_TO_COUNT}
        total = f"about {rows:,}"
    stale = counts[Freshness.STALE.value]
    problem = _problem(f"Stale cache entries: {stale:,}", "caching_cacheentry_changelist", query="?state=stale")
    return CachesContext(
        counts=[(f"?state={name}", badge(Freshness(name)), f"{count:,}") for name, count in counts.items()],
        total=total,
        hit_rates=hit_rates_context()["hit_rates"],
        problems=[problem] if stale else [],
    )


def _health_context(user: Any) -> HealthContext:
    newest_runs = ValidationRun.objects.filter(category="").order_by("suite", "-pk").distinct("suite")
    by_suite = {run.suite: run for run in newest_runs}
    run, snapshot = by_suite.get(Suite.EXIT), Snapshot.objects.first()
    rehearsals = RecoveryRun.objects.last_rehearsals()
    return HealthContext(
        validation=_describe_run(run) if run else None,
        validate=reverse("admin:validate_EXIT") if user.has_perm("validation.run_validationrun") else "",
        snapshot=(ago(snapshot.created_at), snapshot.state, f"{snapshot.rows:,} rows") if snapshot else None,
        make_snapshot=reverse("admin:rollout_snapshot_create") if user.has_perm("rollout.create_snapshot") else "",
        rehearsals=[(badge(level), recovery.describe_rehearsal(rehearsals.get(level))) for level in LEVELS],
        problems=[*_validation_problems(by_suite), *_recovery_problems(snapshot, rehearsals)],
    )


def _describe_run(run: ValidationRun) -> tuple[SafeString, str, SafeString | str]:
    return badge(Result(run.overall)), f"{run.passed} of {run.total} passed", ago(run.started_at)


def _validation_problems(newest: dict[str, ValidationRun]) -> list[Problem]:
    """Return a problem for each suite whose newest run failed, or is missing or overdue: it proves nothing then."""
    page, problems = "validation_validationrun_changelist", []
    for suite in (Suite.EXIT, Suite.EXTENDED):
        run = newest.get(suite)
        if run is None:
            problems.append(_problem(f"{suite.label}: not run yet", page))
        elif timezone.now() - run.started_at > OVERDUE_AFTER:
            limit = duration(OVERDUE_AFTER.total_seconds())
            problems.append(_problem(f"{suite.label}: no run in the last {limit}", page))
        elif run.overall not in (Result.PASS, Result.WARN):
            problems.append(_problem(f"{suite.label}: {run.passed} of {run.total} passed", page))
    return problems


def _recovery_problems(snapshot: Snapshot | None, rehearsals: dict[str, RecoveryRun]) -> list[Problem]:
    """Return what a rollback would lack today: a recent and undamaged snapshot, and a good rehearsal of each level.

    snapshot: the newest one.
    rehearsals: the last one of each level.
    """
    problems, now = [], timezone.now()
    if snapshot is None or now - snapshot.created_at > SNAPSHOT_AGE_LIMIT:
        limit = duration(SNAPSHOT_AGE_LIMIT.total_seconds())
        problems.append(_problem(f"No snapshot in the last {limit}", "rollout_snapshot_changelist"))
    elif snapshot.problem:
        problems.append(_problem(f"Snapshot {snapshot.name} is damaged", "rollout_snapshot_changelist"))
    if levels := [level.label.lower() for level in LEVELS if rehearsal_fault(rehearsals.get(level), now)]:
        message = f"Rehearsal missing, failed or too old: {', '.join(levels)}"
        problems.append(_problem(message, "rollout_recoveryrun_changelist"))
    return problems
