"""The sentences on the page that asks for a confirmation of a verb."""

import pytest

from rollout.admin.confirmations import Position, describe_verb
from rollout.choices import Stage
from rollout.decisions.stages import StagePlan

PLANS = {Stage.PARTIAL_ACTIVE: StagePlan(20, (10, 25, 50)), Stage.FULL_ACTIVE: StagePlan(10)}


@pytest.mark.parametrize(
    ("verb", "stage", "percent", "sentence"),
    [
        (
            "abort",
            "FULL_ACTIVE",
            100,
            "Consumers were served by the candidate, all of them, with control as fallback; "
            "they will be served by control, all of them.",
        ),
        ("abort", "FULL_ACTIVE", 100, "Provider lines published: those of all enabled providers; then none."),
        ("abort", "DARK_MODE", 0, "Consumers are still served by control, all of them."),
        (
            "advance",
            "SHADOW_MODE",
            0,
            "Consumers were served by control, all of them; they will be served by the candidate "
            "for 10 % of targeting keys, with control as fallback.",
        ),
        (
            "advance",
            "DARK_MODE",
            0,
            "The candidate runs as well and is compared; it can neither fail nor delay an answer.",
        ),
        ("start", "DISABLED", 0, "The candidate's cache is probed as well, so that its hits and misses are counted."),
        ("approve", "PARTIAL_ACTIVE", 50, "The next tick advances it to Fully active, if its guards still pass."),
    ],
)
def test_the_page_lists_what_changes_and_for_whom(verb: str, stage: str, percent: int, sentence: str) -> None:
    assert sentence in describe_verb(verb, Position(Stage(stage), percent, PLANS, publishes_lines=True))


def test_a_rollout_that_publishes_no_lines_does_not_mention_them() -> None:
    sentences = describe_verb("abort", Position(Stage.FULL_ACTIVE, 100, PLANS, publishes_lines=False))
    assert not [sentence for sentence in sentences if "lines" in sentence]
