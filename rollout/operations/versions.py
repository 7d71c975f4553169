"""The versions of policies: an edit is refused if another operator edited the same stage after the page was opened."""

from collections.abc import Collection, Iterator
from typing import Any

from django.contrib.postgres.functions import TransactionNow
from django.db.models import F, Min, Model, Q

from core.access.audit import Edit, edits
from rollout.decisions.guards import OWN_GUARDS
from rollout.models import GuardPolicy, StagePolicy
from rollout.operations.transitions import Overtaken

GUARD_ADDED, GUARD_DELETED = "add guard", "delete guard"  # the verbs of the edits
EDITS_AT_MOST = 50  # of each table, that are searched for the changes of the others


def require_unchanged(seen: Collection[StagePolicy]) -> None:
    """Lock the stage policies, and compare their versions with those that the caller read.

    Call it in a transaction: the locks are held until its end.
    Raises Overtaken, which names what changed and who changed it.
    """
    rows = StagePolicy.objects.select_for_update().filter(pk__in={policy.pk for policy in seen}).order_by("pk")
    stored = {policy.pk: policy for policy in rows}
    stale = [policy for policy in seen if stored[policy.pk].version != policy.version]
    if stale:
        changes = [change for policy in stale for change in _changes_since(policy)]
        raise Overtaken(
            f"cannot save {stale[0]}: it changed after you opened it: {'; '.join(changes) or 'see its history'}",
            "open the page again, and repeat your edit if it is still needed",
        )


def renew_restored(restored: Collection[type[Model]]) -> None:
    """Give each stage policy that a restore changed, itself or a guard of it, its next version.

    So an edit is refused if its page was opened before the restore. Call it in the transaction of the restore.

    restored: the models whose rows were put back.
    """
    if StagePolicy not in restored and GuardPolicy not in restored:
        return
    stage_events: Any = StagePolicy.pgh_event_model  # type: ignore[attr-defined]
    guard_events: Any = GuardPolicy.pgh_event_model  # type: ignore[attr-defined]
    in_this_transaction = Q(pgh_created_at=TransactionNow())
    changed_stages = stage_events.objects.filter(in_this_transaction).values("pgh_obj")
    changed_guards = guard_events.objects.filter(in_this_transaction).values("policy")
    changed = Q(pk__in=changed_stages) | Q(pk__in=changed_guards)
    StagePolicy.objects.filter(changed).update(version=F("version") + 1)


def _changes_since(seen: StagePolicy) -> Iterator[str]:
    """Yield what other edits changed, the oldest first, as `minutes: 10 → 15, by anna`."""
    stage_events: Any = StagePolicy.pgh_event_model.objects.filter(  # type: ignore[attr-defined]
        pgh_obj=seen.pk, version__gt=seen.version
    )
    since = stage_events.aggregate(first=Min("pgh_created_at"))["first"]
    if since is None:
        return
    for row_edits, prefix in _edits_by_row(seen):
        for edit in reversed(row_edits):
            if edit.at >= since:
                yield from (f"{prefix}{change}, by {edit.actor or 'an SQL statement'}" for change in _changes(edit))


def _changes(edit: Edit) -> Iterator[str]:
    if edit.label != "update":
        yield "added" if edit.label == "insert" else "deleted"
        return
    for column, (old, new) in edit.changes.items():
        if column != "version":
            yield f"{column}: {_text(old)} → {_text(new)}"


def _edits_by_row(policy: StagePolicy) -> Iterator[tuple[list[Edit], str]]:
    """Yield the edits of the policy and of each of its guards, the newest first, with a prefix for their columns."""
    yield edits([policy], EDITS_AT_MOST), ""
    for guard in with_deleted([policy]):
        yield edits([guard], EDITS_AT_MOST), f"{guard.metric or guard.guard} "


def with_deleted(stages: Collection[StagePolicy]) -> list[GuardPolicy]:
    """Return the guards of these stages, and those on own metrics that were deleted, of which only edits are stored."""
    by_pk = {stage.pk: stage for stage in stages}
    guards = list(GuardPolicy.objects.filter(policy__in=by_pk).select_related("policy__rollout"))
    present = [guard.pk for guard in guards]
    deletions: Any = GuardPolicy.pgh_event_model.objects.filter(  # type: ignore[attr-defined]
        policy__in=by_pk, pgh_label="delete", guard__in=OWN_GUARDS
    ).exclude(pgh_obj__in=present)
    deleted = [
        GuardPolicy(pk=event.pgh_obj_id, policy=by_pk[event.policy_id], guard=event.guard, metric=event.metric)
        for event in deletions
    ]
    return [*guards, *deleted]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
