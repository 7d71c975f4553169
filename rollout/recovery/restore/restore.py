"""Snapshots put back, all or nothing: where little differs, or keys point at a table, just what differs is written;
else the whole table is loaded beside the old one and takes its place.
"""

from collections.abc import Iterator, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models.fields import NOT_PROVIDED

from core.access.actors import Machine
from core.access.audit import acting
from core.db.append_only import allow_rewrite
from core.errors import SlipwayError
from rollout.models import RecoveryRun
from rollout.recovery import runner
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.locks import Mode, with_locks
from rollout.recovery.postgres.tables import execute, leading_to, number_from, numbered
from rollout.recovery.protect import protected, tell_restored
from rollout.recovery.restore import table_swap
from rollout.recovery.restore.diff import Change, Counts
from rollout.recovery.restore.sources import Source, changes_of, is_as_held
from rollout.recovery.snapshots.manifest import CHUNK, check

KEPT_IN_MEMORY = 8 << 20  # bytes of differences; more go to a file
WORTH_REPLACING = 1000  # rows that differ, and a quarter of all


class Differs(SlipwayError):
    """What was restored is not what the snapshot holds."""


def restore(run: RecoveryRun, name: str, chosen: Sequence[Source]) -> runner.Evidence:
    """All of them in one transaction, in which content hashes are compared too. Tables that are as they should be are
    not even locked. Raises InTheWay, Differs, Unusable.
    """
    for source in chosen:
        check(source.folder, source.table)
    differing = [source for source in chosen if not is_as_held(source)]

    def put(ended: object) -> runner.Evidence:
        with runner.fenced(run, name) as evidence, acting(Machine(run.actor), "restore"):
            allow_rewrite()
            same = Counts().document() | {"how": "as it was"}
            evidence["tables"] = {source.protection.table: same for source in chosen}
            evidence["tables"] |= {source.protection.table: _restore(source, run) for source in differing}
            execute("SET CONSTRAINTS ALL IMMEDIATE")
            evidence["not_comparable"] = [each.protection.table for each in chosen if not _is_proven(each)]
            tell_restored(source.protection.model for source in chosen)
        return evidence

    return with_locks({Mode.READ_ONLY: [source.name for source in differing]}, put, ends_sessions=False)


def _restore(source: Source, run: RecoveryRun) -> dict[str, Any]:
    counts = Counts()
    may_replace = set(source.order) == set(source.protection.columns) and table_swap.is_possible(source.name)
    limit = max(WORTH_REPLACING, source.table.rows // 4) if may_replace else None
    with SpooledTemporaryFile(KEPT_IN_MEMORY) as spool:
        with changes_of(source) as changes:
            for change, line in changes:
                if source.protection.keeps_rows and change is not Change.CHANGE:
                    continue
                counts.count(change)
                if limit is None or counts.all <= limit:
                    spool.write(change.value.encode() + b"\t" + line)  # its kind before it, for one temporary table
        if limit is not None and counts.all > limit:
            table_swap.replace(source, f"restoring_{run.pk}")
            return counts.document() | {"how": "replaced"}
        if not counts.all:
            return counts.document() | {"how": "as it was"}
        spool.seek(0)
        forgotten = _apply(source, spool)
    return counts.document() | {"how": "rows"} | ({"with_them": forgotten} if forgotten else {})


def _apply(source: Source, spool: Any) -> dict[str, int]:
    """Write just those. Returns how many rows of other tables went with what was removed."""
    name, key = source.name, sql.quoted(source.key)
    temporary = sql.quoted("restoring")
    execute(
        f"CREATE TEMP TABLE {temporary} ON COMMIT DROP AS SELECT ''::text AS how_, {sql.listed(source.order)} "
        f"FROM {name} WITH NO DATA"
    )
    _copy_in(f"COPY {temporary} FROM STDIN", iter(lambda: spool.read(CHUNK), b""))
    removed = f"SELECT {key} FROM {temporary} WHERE how_ = 'removed'"
    forgotten: dict[str, int] = {}
    _forget_dependents(name, removed, forgotten)
    execute(f"DELETE FROM {name} WHERE {key} IN ({removed})")
    _change(source, temporary)
    _insert(source, temporary, Change.ADD)
    _renumber(source)
    execute(f"DROP TABLE {temporary}")
    return forgotten


def _change(source: Source, temporary: str) -> None:
    """Where rows swapped what has to be unique they are taken out first."""
    name, key = source.name, sql.quoted(source.key)
    changing = [column for column in source.order if column in source.protection.lasting and column != source.key]
    sets = ", ".join(f"{sql.quoted(column)} = new.{sql.quoted(column)}" for column in changing)
    changed = f"{temporary} new WHERE new.how_ = 'changed' AND old.{key} = new.{key}"
    try:
        with transaction.atomic():
            execute(f"UPDATE {name} old SET {sets} FROM {changed}")
    except IntegrityError:
        execute(f"DELETE FROM {name} old USING {changed}")
        _insert(source, temporary, Change.CHANGE)


def _insert(source: Source, temporary: str, change: Change) -> None:
    later = {
        field.column: field.get_db_prep_save(field.get_default(), connection)
        for field in source.protection.model._meta.local_concrete_fields
        if field.column not in source.order and field.db_default is NOT_PROVIDED
    }
    columns = sql.listed([*source.order, *later])
    values = ", ".join([*map(sql.quoted, source.order), *["%s"] * len(later)])
    execute(
        f"INSERT INTO {source.name} ({columns}) SELECT {values} FROM {temporary} WHERE how_ = %s",
        [*later.values(), change.value],
    )


def _renumber(source: Source) -> None:
    number_from(source.name, source.key, numbered(source.name, source.key))


def _forget_dependents(table: str, keys: str, forgotten: dict[str, int]) -> None:
    """What hangs on rows that go, in tables that are not restored: logs and lines."""
    ours = {each.table for each in protected()}
    for child, column, key in leading_to(table):
        if child not in ours:
            rows = f"SELECT {sql.quoted(key)} FROM {sql.quoted(child)} WHERE {sql.quoted(column)} IN ({keys})"
            _forget_dependents(sql.quoted(child), rows, forgotten)
            with connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {sql.quoted(child)} WHERE {sql.quoted(column)} IN ({keys})")
                if cursor.rowcount:
                    forgotten[child] = forgotten.get(child, 0) + cursor.rowcount


def _copy_in(statement: str, blocks: Iterator[bytes]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in blocks:
            copy.write(block)


def _is_proven(source: Source) -> bool:
    """Whether it could be compared with what the snapshot holds. Raises Differs."""
    found = is_as_held(source)
    if found is False and source.protection.keeps_rows:
        return False
    if found is False:
        raise Differs(f"{source.protection.table} is not what the snapshot holds", "nothing was changed; verify it")
    return found is not None
