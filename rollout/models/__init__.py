"""The tables of the rollout app."""

from core.switches import Activation
from rollout.models.history import GuardReading, Transition, VisitEvidence
from rollout.models.policies import GuardPolicy, StagePolicy, rising
from rollout.models.recovery import LEVELS, OPEN, UNDOES, RecoveryRun, RecoveryRunQuerySet, RecoveryStep, Snapshot
from rollout.models.rollouts import Rollout, RolloutQuerySet

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
