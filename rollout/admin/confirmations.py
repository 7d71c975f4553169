"""The effects of a verb, in sentences for the page that asks for a confirmation. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.text import duration
from rollout.choices import Stage
from rollout.decisions.stages import ORDER, Lines, Serving, StagePlan, percent_on_entry, serving_at

PUBLISHED_LINES = {
    Lines.NONE: "none",
    Lines.PRIORITY: "those of priority providers",
    Lines.ALL: "those of all enabled providers",
}
UNCHANGED_STAGE = {
    "pause": [
        "Its clock stops, and what it serves does not change.",
        "Its guards continue to watch: a violation takes it back all the same.",
    ],
    "resume": ["Its clock continues; the pause does not count as time in its stage."],
    "archive": [
        "It is hidden from this list and from OFREP, and it cannot be started until it is unarchived.",
        "Its gates answer control, as they do now. Its history is kept.",
    ],
    "unarchive": ["It is listed again. It stays disabled until an operator starts it."],
    "clone": [
        "A new rollout gets the same policies and guards. It is disabled, and its history begins with the clone.",
        "This rollout does not change.",
    ],
    "freeze": [
        "No rollout advances by itself until an operator unfreezes automatic advances.",
        "Guards still take them back, and operators may still act.",
    ],
    "unfreeze": ["From the next tick on, rollouts advance by themselves again, on evidence."],
}


@dataclass(frozen=True, slots=True)
class Position:
    """The present stage of a rollout, and the plans of its stages.

    percent: its traffic share, 0 to 100.
    publishes_lines: whether its stage decides which lines `/api/v1/lines` publishes. One rollout does that.
    """

    stage: Stage
    percent: int
    plans: Mapping[Stage, StagePlan]
    publishes_lines: bool

    def serving(self, stage: Stage, percent: int) -> Serving:
        """Return how a stage would serve, at this traffic share."""
        plan = self.plans.get(stage, StagePlan(0))
        return serving_at(stage, percent, plan.hold_back_percent)


def describe_switch(verb: str) -> list[str]:
    """Return a sentence for each thing that `freeze` or `unfreeze` changes for all rollouts."""
    return UNCHANGED_STAGE[verb]


def describe_verb(verb: str, position: Position) -> list[str]:
    """Return a sentence for each thing that the verb changes for a rollout at this position."""
    next_stage = ORDER[min(ORDER.index(position.stage) + 1, len(ORDER) - 1)]
    if verb == "abort":
        moves = _describe_move(position, Stage.DISABLED, 0)
        return [*moves, "It starts again only when an operator starts it."]
    if verb == "start":
        return _describe_move(position, Stage.DARK_MODE, 0) + _describe_stages(position.plans)
    if verb == "advance":
        percent = percent_on_entry(next_stage, position.plans.get(next_stage, StagePlan(0)))
        moves = _describe_move(position, next_stage, percent)
        return [*moves, "It is refused unless the guards pass on this stage's own traffic."]
    if verb == "approve":
        return [f"The next tick advances it to {next_stage.label}, if its guards still pass."]
    return UNCHANGED_STAGE[verb]


def _describe_move(position: Position, stage: Stage, percent: int) -> list[str]:
    before, after = position.serving(position.stage, position.percent), position.serving(stage, percent)
    sentences = [f"It moves from {position.stage.label} to {stage.label}."]
    if before.percent == after.percent:
        sentences.append(f"Consumers are still served {_describe_arm(after)}.")
    else:
        sentences.append(f"Consumers were served {_describe_arm(before)}; they will be served {_describe_arm(after)}.")
    if after.probes:
        sentences.append("The candidate's cache is probed as well, so that its hits and misses are counted.")
    if after.shadows:
        sentences.append("The candidate runs as well and is compared; it can neither fail nor delay an answer.")
    if position.publishes_lines and before.lines is not after.lines:
        sentences.append(
            f"Provider lines published: {PUBLISHED_LINES[before.lines]}; then {PUBLISHED_LINES[after.lines]}."
        )
    return sentences


def _describe_arm(serving: Serving) -> str:
    if serving.percent == 0:
        return "by control, all of them"
    if serving.percent == 100:
        return "by the candidate, all of them, with control as fallback"
    return f"by the candidate for {serving.percent} % of targeting keys, with control as fallback"


def _describe_stages(plans: Mapping[Stage, StagePlan]) -> list[str]:
    stages = [
        f"{stage.label} for {duration(60 * plan.minutes)}{_describe_shares(plan.percents)}"
        for stage, plan in plans.items()
    ]
    return [
        f"At pace 1: {'; '.join(stages)}.",
        "It leaves a stage after its time, if the guards pass on that stage's own traffic; a violation takes it back.",
    ]


def _describe_shares(percents: Sequence[int]) -> str:
    return f" over {', '.join(map(str, percents))} %" if percents else ""
