"""What a run comes to, and how it is printed, for people and for programs."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.health_checks import Finding, Result, judged
from tests.validation.test_runs import GOOD, good, made
from validation.reports import junit, table
from validation.verdict import Outcome, overall, summary


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], Result.FAIL),
        ([Result.PASS] * 18, Result.PASS),
        ([Result.PASS, *[Result.WARN] * 3], Result.PASS),
        ([Result.PASS, *[Result.WARN] * 4], Result.WARN),
        ([Result.PASS, Result.SKIP], Result.WARN),
        ([Result.PASS, Result.ERROR], Result.FAIL),
        ([Result.WARN, Result.SKIP, Result.FAIL], Result.FAIL),
    ],
)
def test_the_results_come_to_one(results: list[Result], expected: Result) -> None:
    assert overall(results) is expected


results = st.lists(st.sampled_from(list(Result)), min_size=1, max_size=30)


@given(results)
def test_a_summary_adds_up(found: list[Result]) -> None:
    told = summary([Outcome(made("c", good), Finding(result, "", "", ""), 1.0) for result in found])
    assert told["total"] == sum(told[name] for name in ("passed", "warned", "failed", "errors", "skipped"))
    assert (told["pass_rate"] == 100) is (set(found) == {Result.PASS})


@given(st.text(max_size=50), results)
def test_a_build_server_reads_it_whatever_it_holds(text: str, found: list[Result]) -> None:
    outcomes = [
        Outcome(made(f"c{n}", good), Finding(result, text, text, text, text, (text,), 1), 1.5)
        for n, result in enumerate(found)
    ]
    root = ElementTree.fromstring(junit("slipway.exit", outcomes))  # noqa: S314 - we wrote it
    assert root.get("tests") == str(len(found))
    assert len(root.findall(".//failure")) == found.count(Result.FAIL) == int(root.get("failures") or 0)
    assert len(root.findall(".//error")) == found.count(Result.ERROR)
    assert len(root.findall(".//skipped")) == found.count(Result.SKIP)


def test_a_table_says_what_to_do() -> None:
    bad = judged(False, 3, 0, "three are wrong", remedy="mend them", offending=["a", "b"], count=3)
    shown = table([Outcome(made("one", good), GOOD, 1), Outcome(made("two", good), bad, 1)], is_colored=False)
    assert shown.splitlines() == [
        "a category",
        "✓ PASS   one                                1                            (1)                          fine",
        "✕ FAIL   two                                3                            (0)                          "
        "three are wrong",
        "          - a",
        "          - b",
        "            and 1 more",
        "          > mend them",
        "",
        "FAIL: 1 of 2 passed (50.0 %), 1 failed",
    ]
    assert "\x1b[32m✓ PASS " in table([Outcome(made("one", good), GOOD, 1)], is_colored=True)


def test_nothing_an_upstream_said_steers_the_terminal() -> None:
    bad = judged(False, "\x1b[2J", "", "\x9b31m", remedy="\x07", offending=["\x1b]0;x"])
    assert not set("\x1b\x9b\x07") & set(table([Outcome(made("c", good), bad, 1)], is_colored=False))
