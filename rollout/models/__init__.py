"""The tables of the rollout app."""

from core.switches import Activation
from rollout.models.recovery import LEVELS, OPEN, UNDOES, RecoveryRun, RecoveryRunQuerySet, RecoveryStep, Snapshot
from rollout.models.rollouts import (
    GuardPolicy,
    GuardReading,
    Rollout,
    RolloutQuerySet,
    StagePolicy,
    Transition,
    VisitEvidence,
    rising,
)

__all__ = [
    "LEVELS",
    "OPEN",
    "UNDOES",
    "Activation",
    "GuardPolicy",
    "GuardReading",
    "RecoveryRun",
    "RecoveryRunQuerySet",
    "RecoveryStep",
    "Rollout",
    "RolloutQuerySet",
    "Snapshot",
    "StagePolicy",
    "Transition",
    "VisitEvidence",
    "rising",
]
