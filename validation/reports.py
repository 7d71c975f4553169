"""A run as a table for people, and as JUnit's XML for build servers. Pure."""

import textwrap
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from core.health_checks import Result
from validation.verdict import Outcome, summary

COLOURS = {"green": "32", "red": "31", "orange": "33", "blue": "34", "gray": "90"}
ROW = "{}  {:<34} {:<28} {:<28} {}"
INDENT = 10


def table(outcomes: Sequence[Outcome], *, is_colored: bool) -> str:
    lines, category = [], ""
    order = list(dict.fromkeys(outcome.check.category for outcome in outcomes))
    for outcome in sorted(outcomes, key=lambda each: order.index(each.check.category)):
        found = outcome.finding
        if outcome.check.category != category:
            category = outcome.check.category
            lines += ["", category]
        word = _colored(f"{found.result.symbol} {found.result.value:<5}", found.result, is_colored)
        said = map(_plain, (found.value, f"({found.limit})", found.message))
        lines.append(ROW.format(word, outcome.check.id, *said).rstrip())
        lines += _blame(outcome)
    told = summary(outcomes)
    total = _colored(told["overall"], Result(told["overall"]), is_colored)
    parts = [f"{told['passed']} of {told['total']} passed ({told['pass_rate']} %)"]
    parts += [f"{told[name]} {name}" for name in ("warned", "failed", "errors", "skipped") if told[name]]
    return "\n".join([*lines[1:], "", f"{total}: {', '.join(parts)}"])


def _blame(outcome: Outcome) -> list[str]:
    found = outcome.finding
    lines = [f"- {_plain(name)}" for name in found.offending]
    if (more := found.offending_count - len(found.offending)) > 0:
        lines.append(f"  and {more:,} more")
    if found.remedy and found.result is not Result.PASS:
        lines.append(f"> {_plain(found.remedy)}")
    return [textwrap.indent(line, " " * INDENT) for line in lines]


def _colored(text: str, result: Result, is_colored: bool) -> str:
    return f"\x1b[{COLOURS[result.color]}m{text}\x1b[0m" if is_colored else text


def junit(name: str, outcomes: Sequence[Outcome]) -> str:
    told = summary(outcomes)
    counts: dict[str, Any] = {"tests": told["total"], "failures": told["failed"], "errors": told["errors"]}
    counts |= {"skipped": told["skipped"], "time": f"{sum(outcome.ms for outcome in outcomes) / 1000:.3f}"}
    attributes = {key: str(value) for key, value in counts.items()}
    root = ElementTree.Element("testsuites", attributes)
    suite = ElementTree.SubElement(root, "testsuite", {"name": name} | attributes)
    for outcome in outcomes:
        found = outcome.finding
        about = {"classname": outcome.check.category, "name": outcome.check.id, "time": f"{outcome.ms / 1000:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", about)
        kind = {Result.FAIL: "failure", Result.ERROR: "error", Result.SKIP: "skipped"}.get(found.result)
        if kind:
            text = "\n".join([*found.offending, found.remedy])
            ElementTree.SubElement(case, kind, {"message": _plain(found.message)}).text = _plain(text)
        elif found.result is Result.WARN:
            ElementTree.SubElement(case, "system-out").text = _plain(f"{found.message}\n{found.remedy}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _plain(text: str) -> str:
    """Without what XML cannot hold, or a terminal would obey: some of it comes from upstreams."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
