"""What a verb will do, for whoever is asked to confirm it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.text import duration
from rollout.choices import Stage
from rollout.decisions.stages import ORDER, Lines, Plan, Serves, serves, share_on_entry

LINES = {Lines.NONE: "none", Lines.PRIORITY: "those of priority providers", Lines.ALL: "those of all enabled providers"}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rollout stands, and what its stages ask."""

    stage: Stage
    percent: int
    pace: float
    plans: dict[Stage, Plan]


NOWHERE = Standing(Stage.DISABLED, 0, 1.0, {})


def told(verb: str, now: Standing) -> list[str]:
    """One sentence per thing that changes."""
    following = ORDER[min(ORDER.index(now.stage) + 1, len(ORDER) - 1)]
    if verb == "abort":
        return [*_moves(now, Stage.DISABLED, 0), "It starts again only when somebody starts it."]
    if verb == "start":
        return _moves(now, Stage.DARK_MODE, 0) + _walk(now)
    if verb == "advance":
        share = share_on_entry(following, now.plans.get(following, Plan(0)))
        return [*_moves(now, following, share), "It is refused unless the guards pass on this stage's own traffic."]
    return {
        "approve": [f"The next tick moves it on to {following.label}, if its guards still pass."],
        "pause": [
            "Its time stands still, and what it serves stays as it is.",
            "Its guards go on watching: a violation takes it back all the same.",
        ],
        "resume": ["Its time runs on from where it stood; the pause does not count."],
        "freeze": [
            "No rollout advances by itself until somebody unfreezes them.",
            "Guards still take them back, and operators may still act.",
        ],
        "unfreeze": ["Rollouts advance by themselves again, on evidence, with the next tick."],
    }[verb]


def _moves(now: Standing, stage: Stage, percent: int) -> list[str]:
    before, after = serves(now.stage, now.percent), serves(stage, percent)
    lines = [f"It moves from {now.stage.label} to {stage.label}."]
    if before.percent == after.percent:
        lines.append(f"Consumers go on being served {_arm(after)}.")
    else:
        lines.append(f"Consumers were served {_arm(before)}; they will be served {_arm(after)}.")
    if after.probes:
        lines.append("Beside it the candidate's cache is asked, so that its hits and misses count.")
    if after.shadows:
        lines.append("Beside it the candidate runs too, is compared, and can neither fail nor delay an answer.")
    if before.lines is not after.lines:
        lines.append(f"Provider lines published: {LINES[before.lines]}; then {LINES[after.lines]}.")
    return lines


def _arm(served: Serves) -> str:
    if served.percent == 0:
        return "by control, all of them"
    if served.percent == 100:
        return "by the candidate, all of them, with control as fallback"
    return f"by the candidate for {served.percent} % of targeting keys, with control as fallback"


def _walk(now: Standing) -> list[str]:
    steps = [
        f"{stage.label} for {duration(60 * plan.minutes)}{_shares(plan.percents)}" for stage, plan in now.plans.items()
    ]
    return [
        f"At pace 1: {'; '.join(steps)}.",
        "Each step takes its time and a pass of the guards on that stage's own traffic; a violation takes it back.",
    ]


def _shares(percents: Sequence[int]) -> str:
    return f" over {', '.join(map(str, percents))} %" if percents else ""
