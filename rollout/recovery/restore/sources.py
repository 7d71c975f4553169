"""What of a snapshot can be restored, how its rows go into the tables of today, and in what those differ from them."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from django.db import connection, transaction
from django.db.models import CharField, Field
from django.db.models.fields import NOT_PROVIDED

from core.errors import WrongInput
from rollout.models import Snapshot
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.tables import execute
from rollout.recovery.protect import Protection, of_models, protected
from rollout.recovery.restore.diff import Change, Counts, Layout, differences
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.manifest import CHUNK, Manifest, Table, Unusable, check
from rollout.recovery.snapshots.table_content import content_hash, copy_out, known_migrations


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
    def hashed(self) -> dict[str, str]:
        """What the snapshot's content hash is of."""
        return {name: self.table.columns[name] for name in self.table.lasting}

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
    manifest = operations.opened(snapshot)
    _require_not_newer(manifest)
    ours = {each.table: each for each in [*protected(), *of_models([only])]}
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
    known = known_migrations()
    newer = [f"{app}.{name}" for app, name in manifest.schema.items() if (app, name) not in known]
    if newer:
        said = ", ".join(newer)
        raise Unusable(
            f"{manifest.name} was made by a newer release, with migrations that this one lacks: {said}",
            "install that release",
        )


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


def would_change(source: Source) -> Counts:
    """What restoring it would change, now; nothing is."""
    counts = Counts()
    with changes_of(source) as changes:
        for change, _ in changes:
            if change is Change.CHANGE or not source.protection.keeps_rows:
                counts.count(change)
    return counts


@contextmanager
def changes_of(source: Source) -> Iterator[Iterator[tuple[Change, bytes]]]:
    statement = copy_out(source.protection, source.order, source.name)
    with source.lines() as lines, connection.cursor() as cursor, cursor.copy(statement) as found:
        changes = differences(lines, map(bytes, found), source.layout)
        yield changes


def is_as_held(source: Source) -> bool | None:
    """By content hash; None where the table has not all the columns any more that it was made of."""
    if not set(source.table.lasting) <= set(source.order):
        return None
    return content_hash(source.name, source.hashed) == source.table.content


def plan(chosen: Sequence[Source]) -> dict[str, Counts]:
    """By table, what would change. Raises Unusable."""
    with transaction.atomic():
        execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = {}
        for source in chosen:
            check(source.folder, source.table)
            found[source.protection.table] = would_change(source)
    return found
