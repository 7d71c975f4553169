"""The versions of policies: an edit is refused if another operator edited the same stage after the page was opened."""

from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import Min

from core.access.audit import Edit, edits
from rollout.models import StagePolicy
from rollout.operations.transitions import Overtaken

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
            if edit.label == "update" and edit.at >= since:
                for column, (old, new) in edit.changes.items():
                    if column != "version":
                        yield f"{prefix}{column}: {_text(old)} → {_text(new)}, by {edit.actor or 'an SQL statement'}"


def _edits_by_row(policy: StagePolicy) -> Iterator[tuple[list[Edit], str]]:
    """Yield the edits of the policy and of each of its guards, the newest first, with a prefix for their columns."""
    yield edits([policy], EDITS_AT_MOST), ""
    for guard in policy.guards.all():
        yield edits([guard], EDITS_AT_MOST), f"{guard.metric or guard.guard} "


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
