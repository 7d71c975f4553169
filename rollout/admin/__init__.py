"""The admin pages of rollouts, their policies and transitions, and of recovery. Django discovers them here."""

from rollout.admin.policy_pages import StagePolicyAdmin
from rollout.admin.rollouts import RolloutAdmin, TransitionAdmin
from rollout.recovery.admin import RecoveryRunAdmin, SnapshotAdmin

__all__ = ["RecoveryRunAdmin", "RolloutAdmin", "SnapshotAdmin", "StagePolicyAdmin", "TransitionAdmin"]
