"""What a verb's page says that it will do."""

import pytest

from rollout.admin.confirmations import Standing, told
from rollout.choices import Stage
from rollout.decisions.stages import Plan

PLANS = {Stage.PARTIAL_ACTIVE: Plan(20, (10, 25, 50)), Stage.FULL_ACTIVE: Plan(10)}


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
        ("abort", "DARK_MODE", 0, "Consumers go on being served by control, all of them."),
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
            "Beside it the candidate runs too, is compared, and can neither fail nor delay an answer.",
        ),
        ("start", "DISABLED", 0, "Beside it the candidate's cache is asked, so that its hits and misses count."),
        ("approve", "PARTIAL_ACTIVE", 50, "The next tick moves it on to Fully active, if its guards still pass."),
    ],
)
def test_a_plan_says_what_changes_for_whom(verb: str, stage: str, percent: int, sentence: str) -> None:
    assert sentence in told(verb, Standing(Stage(stage), percent, 1.0, PLANS))
