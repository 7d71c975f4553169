"""What the admin's board shows: the newest result of each check, and how it went before."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from core.console.badges import ago, badge
from core.health_checks import Result, Suite
from validation.models import CheckResult, ValidationRun

STRIP = 40  # runs


def board(suite: Suite) -> dict[str, Any]:
    """By category. Nothing before the first run of all of the suite."""
    last = ValidationRun.objects.whole(suite).first()
    if last is None:
        return {"suite": suite}
    strips = _strips(suite)
    categories: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for found in last.results.order_by("pk"):
        categories[found.category_name].append(shown_result(found) | {"strip": strips[found.check_id]})
    return {
        "suite": suite,
        "overall": badge(Result(last.overall)),
        "told": f"{last.passed} of {last.total} passed, in {last.seconds:.2f} s",
        "when": ago(last.started_at),
        "by": last.requested_by,
        "categories": dict(categories),
    }


def shown_result(found: CheckResult) -> dict[str, Any]:
    return {
        "id": found.check_id,
        "badge": badge(Result(found.result)),
        "value": found.value,
        "limit": found.limit,
        "message": found.message,
        "remedy": found.remedy if found.result != Result.PASS else "",
        "offending": [_row(name, found.links.get(name)) for name in found.offending],
        "more": max(0, found.offending_count - len(found.offending)),
    }


def _row(name: str, page: str | None) -> SafeString | str:
    return format_html('<a href="{}">{}</a>', page, name) if page else name


def _strips(suite: Suite) -> dict[str, SafeString]:
    """Of each check, its last results, the oldest first: a square each, told in words too."""
    runs = list(ValidationRun.objects.whole(suite).values_list("pk", flat=True)[:STRIP])
    history: dict[str, list[str]] = defaultdict(list)
    for check, result in CheckResult.objects.filter(run__in=runs).order_by("run").values_list("check_id", "result"):
        history[check].append(result)
    return {check: _strip(check, results) for check, results in history.items()}


def _strip(check: str, results: Sequence[str]) -> SafeString:
    bad = sum(result in (Result.FAIL, Result.ERROR) for result in results)
    squares = format_html_join(
        "", '<i class="sw-{}" title="{}">{}</i>', ((Result(each).color, each, Result(each).symbol) for each in results)
    )
    told = f"{check}: {bad} of the last {len(results)} runs failed"
    return format_html('<span class="sw-strip" role="img" aria-label="{}">{}</span>', told, squares)
