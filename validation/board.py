"""The admin's board: the newest result of each check, and its earlier results."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from core.console.badges import ago, badge
from core.health_checks import Result, Suite
from validation.models import CheckResult, ValidationRun

HISTORY_RUNS = 40


@dataclass(frozen=True, slots=True)
class ResultContext:
    """The context of one result. Only a result that is not PASS has a remedy.

    unnamed: the number of offending rows that are counted but not named.
    history: the earlier results of the check; empty on the page of a run.
    """

    id: str
    badge: SafeString
    value: str
    limit: str
    message: str
    remedy: str
    offending: list[SafeString | str]
    unnamed: int
    history: SafeString | str


@dataclass(frozen=True, slots=True)
class BoardContext:
    """The context of one suite's board. Before the first run of the whole suite, it holds the suite and the address.

    run_address: the page that starts a run.
    categories: the newest results by category.
    """

    suite: Suite
    run_address: str
    overall: SafeString | str = ""
    summary: str = ""
    when: SafeString | str = ""
    by: str = ""
    categories: dict[str, list[ResultContext]] = field(default_factory=dict)


def board_context(suite: Suite, run_address: str) -> BoardContext:
    """Return the context of the suite's board."""
    newest = ValidationRun.objects.of_whole_suite(suite).first()
    if newest is None:
        return BoardContext(suite, run_address)
    histories = _histories(suite)
    categories: dict[str, list[ResultContext]] = defaultdict(list)
    for result in newest.results.order_by("pk"):
        categories[result.category_name].append(result_context(result, histories[result.check_id]))
    return BoardContext(
        suite,
        run_address,
        overall=badge(Result(newest.overall)),
        summary=f"{newest.passed} of {newest.total} passed, in {newest.seconds:.2f} s",
        when=ago(newest.started_at),
        by=newest.requested_by,
        categories=dict(categories),
    )


def result_context(result: CheckResult, history: SafeString | str = "") -> ResultContext:
    """Return the context of one result."""
    return ResultContext(
        id=result.check_id,
        badge=badge(Result(result.result)),
        value=result.value,
        limit=result.limit,
        message=result.message,
        remedy=result.remedy if result.result != Result.PASS else "",
        offending=[_linked_name(name, result.links.get(name)) for name in result.offending],
        unnamed=max(0, result.offending_count - len(result.offending)),
        history=history,
    )


def _linked_name(name: str, address: str | None) -> SafeString | str:
    return format_html('<a href="{}">{}</a>', address, name) if address else name


def _histories(suite: Suite) -> dict[str, SafeString]:
    """Return the last results of each check, by check: a square for each, the oldest first."""
    runs = list(ValidationRun.objects.of_whole_suite(suite).values_list("pk", flat=True)[:HISTORY_RUNS])
    results: dict[str, list[str]] = defaultdict(list)
    rows = CheckResult.objects.filter(run__in=runs).order_by("run").values_list("check_id", "result")
    for check, result in rows:
        results[check].append(result)
    return {check: _history(check, results[check]) for check in results}


def _history(check: str, results: Sequence[str]) -> SafeString:
    """Return the squares. Their label gives the count in words, for screen readers."""
    failed = sum(result in (Result.FAIL, Result.ERROR) for result in results)
    styles = [Result(result) for result in results]
    squares = format_html_join(
        "", '<i class="sw-{}" title="{}">{}</i>', ((style.color, style, style.symbol) for style in styles)
    )
    label = f"{check}: {failed} of the last {len(results)} runs failed"
    return format_html('<span class="sw-strip" role="img" aria-label="{}">{}</span>', label, squares)
