"""A run as a table for a terminal, and as JUnit's XML for build servers. Pure functions."""

import textwrap
from collections.abc import Sequence
from xml.etree import ElementTree

from core.health_checks import Result
from validation.verdict import CheckOutcome, summarize

ANSI_COLORS = {"green": "32", "red": "31", "orange": "33", "blue": "34", "gray": "90"}
ROW = "{}  {:<34} {:<28} {:<28} {}"
INDENT = 10  # columns
JUNIT_ELEMENTS = {Result.FAIL: "failure", Result.ERROR: "error", Result.SKIP: "skipped"}


def format_table(outcomes: Sequence[CheckOutcome], *, is_colored: bool) -> str:
    """Return the outcomes by category, each with its offending rows and remedy, and the counts in the last row."""
    rows, category = [], ""
    categories = list(dict.fromkeys(outcome.check.category for outcome in outcomes))
    for outcome in sorted(outcomes, key=lambda outcome: categories.index(outcome.check.category)):
        finding = outcome.finding
        if outcome.check.category != category:
            category = outcome.check.category
            rows += ["", category]
        result = _colored(f"{finding.result.symbol} {finding.result.value:<5}", finding.result, is_colored)
        texts = map(_printable, (finding.value, f"({finding.limit})", finding.message))
        rows.append(ROW.format(result, outcome.check.id, *texts).rstrip())
        rows += _detail_rows(outcome)
    counts = summarize(outcomes)
    result = _colored(counts["overall"], Result(counts["overall"]), is_colored)
    parts = {
        "warned": counts["warned"],
        "failed": counts["failed"],
        "errors": counts["errors"],
        "skipped": counts["skipped"],
    }
    passed = f"{counts['passed']} of {counts['total']} passed ({counts['pass_rate']} %)"
    total = ", ".join([passed, *(f"{count} {name}" for name, count in parts.items() if count)])
    return "\n".join([*rows[1:], "", f"{result}: {total}"])


def _detail_rows(outcome: CheckOutcome) -> list[str]:
    """Return the offending rows and the remedy, indented."""
    finding = outcome.finding
    rows = [f"- {_printable(name)}" for name in finding.offending]
    unnamed = finding.offending_count - len(finding.offending)
    if unnamed > 0:
        rows.append(f"  and {unnamed:,} more")
    if finding.remedy and finding.result is not Result.PASS:
        rows.append(f"> {_printable(finding.remedy)}")
    return [textwrap.indent(row, " " * INDENT) for row in rows]


def _colored(text: str, result: Result, is_colored: bool) -> str:
    return f"\x1b[{ANSI_COLORS[result.color]}m{text}\x1b[0m" if is_colored else text


def format_junit(name: str, outcomes: Sequence[CheckOutcome]) -> str:
    """Return the outcomes as one test suite of that name. A warning counts as passed, with its message as output."""
    counts = summarize(outcomes)
    attributes = {
        "tests": str(counts["total"]),
        "failures": str(counts["failed"]),
        "errors": str(counts["errors"]),
        "skipped": str(counts["skipped"]),
        "time": f"{sum(outcome.ms for outcome in outcomes) / 1000:.3f}",
    }
    root = ElementTree.Element("testsuites", attributes)
    suite = ElementTree.SubElement(root, "testsuite", {"name": name} | attributes)
    for outcome in outcomes:
        finding = outcome.finding
        identity = {"classname": outcome.check.category, "name": outcome.check.id, "time": f"{outcome.ms / 1000:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", identity)
        if element := JUNIT_ELEMENTS.get(finding.result):
            text = "\n".join([*finding.offending, finding.remedy])
            ElementTree.SubElement(case, element, {"message": _printable(finding.message)}).text = _printable(text)
        elif finding.result is Result.WARN:
            ElementTree.SubElement(case, "system-out").text = _printable(f"{finding.message}\n{finding.remedy}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _printable(text: str) -> str:
    """Return the text without control characters.

    XML cannot hold them and a terminal would obey them, and some texts come from upstreams.
    """
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
