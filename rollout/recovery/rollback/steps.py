"""The three levels of rollback, step by step, each step beside the steps that take it back; and the other kinds of run.

Rollouts stay disabled after an undo, and parts stay off, until an operator starts or reactivates them.
"""

from collections.abc import Sequence

from rollout.choices import RunKind
from rollout.models import RecoveryRun
from rollout.recovery.rollback import quarantine, step_actions
from rollout.recovery.runner import Step

RESTORE = Step("restore", "Put the rows of the snapshot back", step_actions.restore_rows)
VERIFY = Step(
    "verify", "Run the post-rollback suite, which checks that all of this holds", step_actions.verify, may_fail=True
)

STEPS: dict[RunKind, tuple[Step, ...]] = {
    RunKind.EMERGENCY: (
        Step(
            "rollouts",
            "Move every rollout to DISABLED: from then on the gates serve the old way",
            step_actions.disable_rollouts,
            may_fail=True,
        ),
        Step("switch_off", "Switch off polling, warming and serving", step_actions.switch_off_parts),
        Step(
            "quarantine",
            "Move provider states, cache entries and the tables that reference them to a quarantine; "
            "put empty tables in their place",
            quarantine.move_to_quarantine,
            undo=(
                Step("put_back", "Move the tables out of the quarantine, back to their place", quarantine.put_back),
                Step(
                    "compare",
                    "Compare their content hashes with the snapshot's",
                    step_actions.compare_with_snapshot,
                    may_fail=True,
                ),
            ),
        ),
        Step("snapshot", "Take a snapshot of the tables in quarantine", step_actions.take_snapshot, may_fail=True),
        VERIFY,
    ),
    RunKind.STANDARD: (
        Step(
            "rollouts",
            "Move every rollout to DISABLED: from then on the gates serve the old way",
            step_actions.disable_rollouts,
        ),
        Step("switch_off", "Switch off polling and warming", step_actions.switch_off_parts),
        Step("snapshot", "Take a snapshot of every protected table", step_actions.take_snapshot),
        Step(
            "clean_up",
            "Delete all cache entries, reset the provider states to a backfill's, and prove that nothing else changed",
            step_actions.clean_up_data,
            undo=(RESTORE,),
        ),
        VERIFY,
    ),
    # The steps before this one are the places of gradual.LADDER, which no lease holds; they change no data.
    RunKind.GRADUAL: (VERIFY,),
}

DROP = Step("drop", "Drop the tables permanently", quarantine.drop)
PURGE = (
    Step("snapshot", "Take a snapshot of the quarantine, if the run has none", step_actions.keep_in_snapshot),
    Step("read_back", "Read the snapshot back: it is the only copy afterwards", step_actions.read_back_snapshot),
    DROP,
)


def steps_of(run: RecoveryRun) -> Sequence[Step]:
    """Return the steps that the run executes, in their order."""
    if run.level in STEPS:
        return STEPS[run.level]
    if run.kind == RunKind.PURGE:
        return (DROP,) if run.target.is_undone else PURGE
    if run.kind == RunKind.UNDO and run.undoes is not None:
        return undo_steps(run.undoes.level)
    return (RESTORE,)


def undo_steps(level: RunKind) -> Sequence[Step]:
    """Return the steps that take the level back: the last step of the level first."""
    return [undo for step in reversed(STEPS[level]) for undo in step.undo]
