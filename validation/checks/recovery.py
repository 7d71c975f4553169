"""Whether there is something to go back to, and whether somebody tried the way."""

from datetime import timedelta

from django.utils import timezone

from core.health_checks import Finding, Result, Suite, View, check, judged
from core.text import duration
from rollout.models import LEVELS, RecoveryRun, Snapshot
from rollout.recovery.rollback.levels import REHEARSED_WITHIN, rehearsal_fault

CATEGORY = "recovery"
DAILY = timedelta(hours=26)  # one comes every night


@check("snapshot_recent", CATEGORY, Suite.EXTENDED)
def snapshot_recent(view: View) -> Finding:
    """The newest is of the last day, was read back, and found whole."""
    newest = Snapshot.objects.first()
    if newest is None:
        remedy = "make one: manage.py snapshot create; one comes every night, with beat and the workers of slow"
        return Finding(Result.WARN, "none", "one a day", "there is no snapshot", remedy)
    age = timezone.now() - newest.created_at
    wrong = [newest.problem] if newest.problem else []
    wrong += ["it was not read back"] if newest.verified_at is None else []
    wrong += [f"it is {age.days} days old"] if age > DAILY else []
    hours = f"{age.total_seconds() / 3600:.0f} h, {'read back' if newest.verified_at else 'not read back'}"
    said = f"{newest.name}: {'; '.join(wrong)}" if wrong else f"{newest.name} is recent and whole"
    is_bad = bool(newest.problem) or age > DAILY
    remedy = "run: manage.py snapshot create, then manage.py snapshot verify"
    otherwise = Result.FAIL if is_bad else Result.WARN
    return judged(
        not wrong,
        hours,
        f"{duration(DAILY.total_seconds())}, read back",
        said,
        remedy=remedy,
        offending=wrong,
        otherwise=otherwise,
    )


@check("levels_rehearsed", CATEGORY, Suite.EXTENDED)
def levels_rehearsed(view: View) -> Finding:
    """Each within a month, and within its promise."""
    last, now = RecoveryRun.objects.last_rehearsals(), timezone.now()
    faults = {level: rehearsal_fault(last.get(level), now) for level in LEVELS}
    wrong = [f"{level.value} {fault}" for level, fault in faults.items() if fault]
    said = f"{len(wrong)} levels are not rehearsed" if wrong else "every level was rehearsed"
    remedy = "run: manage.py rollback --level LEVEL --rehearse"
    many, limit = f"{len(LEVELS) - len(wrong)} of {len(LEVELS)}", f"{len(LEVELS)} within {REHEARSED_WITHIN.days} days"
    return judged(not wrong, many, limit, said, remedy=remedy, offending=wrong, otherwise=Result.WARN)
