"""The category recovery: a usable snapshot exists, and each rollback level was rehearsed."""

from datetime import timedelta

from django.utils import timezone

from core.health_checks import Finding, Result, Suite, View, check, judged
from core.text import duration
from rollout.models import LEVELS, RecoveryRun, Snapshot
from rollout.recovery.rollback.rehearsal import REHEARSED_WITHIN, rehearsal_fault

CATEGORY = "recovery"
SNAPSHOT_AGE_LIMIT = timedelta(hours=26)  # a snapshot is scheduled every night


@check("snapshot_recent", CATEGORY, Suite.EXTENDED)
def snapshot_recent(view: View) -> Finding:
    """Measure the age and the state of the newest snapshot. Limit: 26 h old, read back without a fault.

    A snapshot that was not read back is only a warning, and so is an installation without any snapshot.
    """
    newest = Snapshot.objects.first()
    if newest is None:
        remedy = "run: manage.py snapshot create; for the nightly one, start beat and the workers of the queue slow"
        return Finding(Result.WARN, "none", "one a day", "no snapshot exists", remedy)
    age = timezone.now() - newest.created_at
    faults = [newest.problem] if newest.problem else []
    if newest.verified_at is None:
        faults.append("it was not read back")
    if age > SNAPSHOT_AGE_LIMIT:
        faults.append(f"it is {age.days} days old")
    is_unusable = bool(newest.problem) or age > SNAPSHOT_AGE_LIMIT
    return judged(
        not faults,
        f"{age.total_seconds() / 3600:.0f} h, {'read back' if newest.verified_at else 'not read back'}",
        f"{duration(SNAPSHOT_AGE_LIMIT.total_seconds())}, read back",
        f"{newest.name}: {'; '.join(faults)}" if faults else f"{newest.name} is recent and complete",
        remedy="run: manage.py snapshot create; then: manage.py snapshot verify",
        offending=faults,
        otherwise=Result.FAIL if is_unusable else Result.WARN,
    )


@check("levels_rehearsed", CATEGORY, Suite.EXTENDED)
def levels_rehearsed(view: View) -> Finding:
    """Count the rollback levels with a good rehearsal. Limit: all, within 30 days and within their promised time."""
    rehearsals, now = RecoveryRun.objects.last_rehearsals(), timezone.now()
    faults = {level: rehearsal_fault(rehearsals.get(level), now) for level in LEVELS}
    wrong = [f"{level.value} {fault}" for level, fault in faults.items() if fault]
    return judged(
        not wrong,
        f"{len(LEVELS) - len(wrong)} of {len(LEVELS)} levels",
        f"{len(LEVELS)} within {REHEARSED_WITHIN.days} days",
        f"{len(wrong)} levels lack a good rehearsal" if wrong else "every level was rehearsed",
        remedy="run: manage.py rollback --level LEVEL --rehearse",
        offending=wrong,
        otherwise=Result.WARN,
    )
