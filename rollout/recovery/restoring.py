"""Snapshots put back, all or nothing: where little differs, or keys point at a table, just what differs is written;
else the whole table is loaded beside the old one and takes its place.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import zstandard
from django.db import connection, transaction
from django.db.models import CharField, Field
from django.db.models.fields import NOT_PROVIDED

from rollout.append_only import allow_rewrite
from rollout.errors import SlipwayError, WrongInput
from rollout.recovery import replacing, runs, snapshots, sql
from rollout.recovery.differences import Change, Counts, Layout, differences
from rollout.recovery.locks import Mode, with_locks
from rollout.recovery.manifest import Manifest, Table, Unusable
from rollout.recovery.models import RecoveryRun, Snapshot
from rollout.recovery.protect import Protection, protected, tell_restored
from rollout.recovery.tables import execute, leading_to, number_from, numbered

KEPT_IN_MEMORY = 8 << 20  # bytes of differences; more go to a file
WORTH_REPLACING = 1000  # rows that differ, and a quarter of all
CHUNK = 1 << 20


class Differs(SlipwayError):
    """What was restored is not what the snapshot holds."""


@dataclass(frozen=True, slots=True)
class Source:
    """A table of a snapshot, and where its rows go. order: the columns of the table's rows, as they are compared."""

    folder: Path
    table: Table
    protection: Protection
    layout: Layout
    order: tuple[str, ...]

    @property
    def name(self) -> str:
        return sql.quoted(self.protection.table)

    @property
    def key(self) -> str:
        return self.protection.model._meta.pk.column

    @contextmanager
    def lines(self) -> Iterator[io.BufferedReader]:
        """Its rows. Raises Unusable for a file that is not as it was made."""
        try:
            with (
                (self.folder / self.table.file).open("rb") as raw,
                zstandard.ZstdDecompressor().stream_reader(raw) as unpacked,
            ):
                yield io.BufferedReader(unpacked, CHUNK)
        except zstandard.ZstdError as error:
            raise Unusable(f"{self.table.file} of {self.folder.name} was altered", "take another snapshot") from error


def sources(snapshot: Snapshot, only: str = "") -> list[Source]:
    """What can be restored of it. Raises Unusable, or WrongInput for a table that it does not hold."""
    manifest = snapshots.opened(snapshot)
    _require_not_newer(manifest)
    ours = {each.table: each for each in protected()}
    held = {table.table: table for table in manifest.tables if table.table in ours}
    if only and only not in held:
        raise WrongInput(f"{snapshot.name} holds no table {only[:60]}", f"take one of {', '.join(held)}")
    if lacking := sorted(ours.keys() - held.keys()) if not only else []:
        raise Unusable(
            f"{snapshot.name} lacks {', '.join(lacking)}", "restore one by one with --table, or take another"
        )
    chosen = [table for name, table in held.items() if only in ("", name)]
    return [_source(Path(snapshot.folder), table, ours[table.table]) for table in chosen]


def _require_not_newer(manifest: Manifest) -> None:
    known = snapshots.known_migrations()
    newer = [f"{app}.{name}" for app, name in manifest.schema.items() if (app, name) not in known]
    if newer:
        said = ", ".join(newer)
        raise Unusable(f"{manifest.name} was made by a release with other migrations: {said}", "install that release")


def _source(folder: Path, table: Table, protection: Protection) -> Source:
    has, wants = list(table.columns), protection.columns
    order = tuple(column for column in has if column in wants)
    for lacking in [column for column in wants if column not in has]:
        _require_default(protection, lacking)
    kept = None if list(order) == has else tuple(has.index(column) for column in order)
    key = protection.model._meta.pk
    lasting = tuple(at for at, column in enumerate(order) if column in protection.lasting)
    layout = Layout(order.index(key.column), not isinstance(key, CharField), kept, lasting)
    return Source(folder, table, protection, layout, order)


def _require_default(protection: Protection, column: str) -> None:
    field: Field[Any, Any] = next(f for f in protection.model._meta.local_concrete_fields if f.column == column)
    if not (field.null or field.has_default() or field.db_default is not NOT_PROVIDED or field.empty_strings_allowed):
        why = f"{protection.table}.{column} came later, and has no default"
        raise Unusable(why, "restore with the release that made the snapshot, then migrate")


def check(source: Source) -> None:
    """Raises Unusable for a file that was cut or altered."""
    file, digest, size = source.folder / source.table.file, hashlib.sha256(), 0
    try:
        with file.open("rb") as raw:
            while block := raw.read(CHUNK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise Unusable(f"{file} cannot be read: {error.strerror}", "take another snapshot") from error
    if (size, digest.hexdigest()) != (source.table.bytes, source.table.sha256):
        what = "cut" if size < source.table.bytes else "altered"
        raise Unusable(f"{file.name} of {source.folder.name} was {what}", "take another one: manage.py snapshot list")


def would_change(source: Source) -> Counts:
    """What restoring it would change, now; nothing is."""
    counts = Counts()
    with _differing(source) as changes:
        for change, _ in changes:
            counts.count(change)
    return counts


@contextmanager
def _differing(source: Source) -> Iterator[Iterator[tuple[Change, bytes]]]:
    statement = snapshots.copy_out(source.protection, source.order, source.name)
    with source.lines() as lines, connection.cursor() as cursor, cursor.copy(statement) as found:
        changes = differences(lines, map(bytes, found), source.layout)
        yield changes


def restore(run: RecoveryRun, name: str, chosen: Sequence[Source]) -> runs.Evidence:
    """All of them in one transaction, in which content hashes are compared too. Raises InTheWay, Differs, Unusable."""
    for source in chosen:
        check(source)

    def put(ended: object) -> runs.Evidence:
        with runs.fenced(run, name) as evidence:
            allow_rewrite()
            evidence["tables"] = {source.protection.table: _restore(source, run) for source in chosen}
            execute("SET CONSTRAINTS ALL IMMEDIATE")
            for source in chosen:
                _require_equal(source)
            tell_restored(source.protection.model for source in chosen)
        return evidence

    return with_locks({Mode.READ_ONLY: [source.name for source in chosen]}, put, ends_sessions=False)


def _restore(source: Source, run: RecoveryRun) -> dict[str, Any]:
    counts = Counts()
    may_replace = set(source.order) == set(source.protection.columns) and replacing.is_possible(source.name)
    limit = max(WORTH_REPLACING, source.table.rows // 4) if may_replace else None
    with SpooledTemporaryFile(KEPT_IN_MEMORY) as spool:
        with _differing(source) as changes:
            for change, line in changes:
                counts.count(change)
                if limit is None or counts.all <= limit:
                    spool.write(_marked(change, line, source))
        many = counts.all
        if limit is not None and many > limit:
            replacing.replace(source, f"restoring_{run.pk}")
            return counts.document() | {"how": "replaced"}
        spool.seek(0)
        forgotten = _apply(source, spool) if many else {}
    return (
        counts.document() | {"how": "rows" if many else "as it was"} | ({"with_them": forgotten} if forgotten else {})
    )


def _marked(change: Change, line: bytes, source: Source) -> bytes:
    """Its kind before it, for one temporary table."""
    return change.value.encode() + b"\t" + line


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
    changing = [column for column in source.order if column in source.protection.lasting and column != source.key]
    if changing:
        sets = ", ".join(f"{sql.quoted(column)} = new.{sql.quoted(column)}" for column in changing)
        execute(
            f"UPDATE {name} old SET {sets} FROM {temporary} new WHERE new.how_ = 'changed' AND old.{key} = new.{key}"
        )
    _insert_added(source, temporary)
    _renumber(source)
    execute(f"DROP TABLE {temporary}")
    return forgotten


def _insert_added(source: Source, temporary: str) -> None:
    later = {
        field.column: field.get_db_prep_save(field.get_default(), connection)
        for field in source.protection.model._meta.local_concrete_fields
        if field.column not in source.order and field.db_default is NOT_PROVIDED
    }
    columns = sql.listed([*source.order, *later])
    values = ", ".join([*map(sql.quoted, source.order), *["%s"] * len(later)])
    execute(
        f"INSERT INTO {source.name} ({columns}) SELECT {values} FROM {temporary} WHERE how_ = 'added'",
        list(later.values()),
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


def _require_equal(source: Source) -> None:
    """By content hash, where the table still has all columns that it was made of."""
    if set(source.table.lasting) <= set(source.order):
        found = snapshots.content_hash(source.name, source.table.lasting)
        if found != source.table.content:
            raise Differs(f"{source.protection.table} is not what the snapshot holds", "nothing was changed; verify it")


def unlike(snapshot: Snapshot) -> list[str]:
    """Tables whose content is not the snapshot's, by content hash."""
    return [
        source.protection.table
        for source in sources(snapshot)
        if snapshots.content_hash(source.name, source.table.lasting) != source.table.content
    ]


def plan(snapshot: Snapshot, only: str = "") -> dict[str, Counts]:
    """By table, what would change. Raises Unusable, WrongInput."""
    with transaction.atomic():
        execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = {}
        for source in sources(snapshot, only):
            check(source)
            found[source.protection.table] = would_change(source)
    return found
