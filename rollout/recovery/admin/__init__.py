"""Recovery in the admin."""

from rollout.recovery.admin.runs import RecoveryRunAdmin
from rollout.recovery.admin.snapshots import SnapshotAdmin

__all__ = ["RecoveryRunAdmin", "SnapshotAdmin"]
