"""The overall result of a run, and its reports: a table for a terminal, JUnit's XML for build servers."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.health_checks import Finding, Result, judged
from tests.validation.test_runs import GOOD, good, make_check
from validation.reports import format_junit, format_table
from validation.verdict import CheckOutcome, overall_result, summarize


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
def test_the_overall_result_follows_from_all_results(results: list[Result], expected: Result) -> None:
    assert overall_result(results) is expected


results = st.lists(st.sampled_from(list(Result)), min_size=1, max_size=30)


@given(results)
def test_the_counts_of_a_summary_add_up(sample: list[Result]) -> None:
    counts = summarize([CheckOutcome(make_check("c", good), Finding(result, "", "", ""), 1.0) for result in sample])
    parts = counts["passed"], counts["warned"], counts["failed"], counts["errors"], counts["skipped"]
    assert counts["total"] == sum(parts)
    assert (counts["pass_rate"] == 100) is (set(sample) == {Result.PASS})


@given(st.text(max_size=50), results)
def test_any_text_makes_valid_xml(text: str, sample: list[Result]) -> None:
    outcomes = [
        CheckOutcome(make_check(f"c{n}", good), Finding(result, text, text, text, text, (text,), 1), 1.5)
        for n, result in enumerate(sample)
    ]
    root = ElementTree.fromstring(format_junit("slipway.exit", outcomes))  # noqa: S314 - Slipway wrote it
    assert root.get("tests") == str(len(sample))
    assert len(root.findall(".//failure")) == sample.count(Result.FAIL) == int(root.get("failures") or 0)
    assert len(root.findall(".//error")) == sample.count(Result.ERROR)
    assert len(root.findall(".//skipped")) == sample.count(Result.SKIP)


def test_the_table_names_the_offending_rows_and_the_remedy() -> None:
    bad = judged(False, 3, 0, "three are wrong", remedy="mend them", offending=["a", "b"], count=3)
    first, second = CheckOutcome(make_check("one", good), GOOD, 1), CheckOutcome(make_check("two", good), bad, 1)
    assert format_table([first, second], is_colored=False).splitlines() == [
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
    assert "\x1b[32m✓ PASS " in format_table([first], is_colored=True)


def test_control_characters_of_an_upstream_do_not_reach_the_terminal() -> None:
    bad = judged(False, "\x1b[2J", "", "\x9b31m", remedy="\x07", offending=["\x1b]0;x"])
    assert not set("\x1b\x9b\x07") & set(format_table([CheckOutcome(make_check("c", good), bad, 1)], is_colored=False))
