"""What a standard rollback does to the data, with proof that nothing else changed: in one transaction, in which nobody
else writes.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from core.access.actors import Machine
from core.access.audit import acting
from core.errors import SlipwayError
from rollout.models import RecoveryRun
from rollout.recovery import runner
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.locks import Mode, with_locks
from rollout.recovery.postgres.tables import count
from rollout.recovery.protect import Protection, protected
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.table_content import content_hash


class Changed(SlipwayError):
    """Somebody wrote after the snapshot was made; nothing was cleaned up."""


class Damaged(SlipwayError):
    """The clean-up changed what it should not; it was taken back."""


def clear(run: RecoveryRun, anew: Callable[[], object] | None = None) -> runner.Evidence:
    """anew: makes another snapshot, while nobody writes. Raises Changed, Damaged, InTheWay, Unusable."""

    def work(ended: object) -> runner.Evidence:
        if anew:
            _beside(anew)
        manifest = operations.opened(operations.found(run.snapshot))
        held = {table.table: table.content for table in manifest.tables}
        with runner.fenced(run, "clean_up") as evidence, acting(Machine(run.actor), "rollback"):
            before = {each.table: _hash(each, each.lasting) for each in protected()}
            if written := sorted(name for name, content in before.items() if held.get(name) != content):
                raise Changed(f"somebody keeps writing to {', '.join(written)}", "stop them, and run it again")
            kept = {
                each.table: before[each.table] if _kept(each) == each.lasting else _hash(each, _kept(each))
                for each in protected()
            }
            rows = {each.table: count(sql.quoted(each.table)) for each in protected()}
            for each in protected():
                if each.on_standard:
                    each.on_standard()
            for each in protected():
                _require_unchanged(each, kept[each.table])
            evidence["rows"] = {name: {"before": were, "after": count(sql.quoted(name))} for name, were in rows.items()}
            evidence["unchanged"] = sorted(name for name, content in kept.items() if content)
        return evidence

    return with_locks({Mode.READ_ONLY: [sql.quoted(each.table) for each in protected()]}, work, ends_sessions=False)


def _beside(work: Callable[[], object]) -> None:
    """On a connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


def _kept(each: Protection) -> dict[str, str]:
    """The columns that the clean-up leaves as they are; none of a table that it empties."""
    if each.on_standard and not each.resets:
        return {}
    return each.columns_without((*each.volatile, *each.resets))


def _require_unchanged(each: Protection, before: str) -> None:
    columns = _kept(each)
    is_good = _hash(each, columns) == before if columns else count(sql.quoted(each.table)) == 0
    if not is_good:
        raise Damaged(f"the clean-up of {each.table} changed more than it should", "nothing was changed; report it")


def _hash(each: Protection, columns: dict[str, str]) -> str:
    return content_hash(sql.quoted(each.table), columns) if columns else ""
