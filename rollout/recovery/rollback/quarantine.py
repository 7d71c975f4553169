"""Tables out of service: moved whole to a schema of their run, empty ones of the same shape in their place; and back,
the very same tables.
"""

from collections.abc import Sequence

from django.db import connection, transaction

from core.errors import Refused, SlipwayError
from rollout.models import RecoveryRun
from rollout.recovery import runner
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.locks import Mode, Sessions, with_locks
from rollout.recovery.postgres.shape import Shape, shape
from rollout.recovery.postgres.tables import copy_rights, count, home, led_to, names, number_from, numbered, rows_of
from rollout.recovery.postgres.tables import execute as do
from rollout.recovery.protect import models, protected, tell_restored


def closure() -> list[str]:
    """Those that a standard rollback clears, and all that reach them by foreign keys."""
    roots = [sql.quoted(each.table) for each in protected() if each.on_standard]
    return names(sql.CLOSURE, {"roots": roots}) if roots else []


def tables_of(run: RecoveryRun) -> list[str]:
    """What it holds in quarantine."""
    return names(sql.TABLES_IN, [run.schema])


def take_out(run: RecoveryRun) -> runner.Evidence:
    """Raises InTheWay, Refused; nothing is half done."""
    if not rows_of("SELECT has_database_privilege(current_database(), 'CREATE')")[0][0]:
        raise Refused("this role may not make a schema", "as the database's owner: GRANT CREATE ON DATABASE ... TO ...")
    tables = closure()
    quoted = [sql.quoted(name) for name in tables]

    def move(ended: Sessions) -> runner.Evidence:
        with runner.fenced(run, "quarantine") as evidence:
            if closure() != tables:
                raise SlipwayError("a migration changed the tables just now", "run it again")
            evidence |= {"schema": run.schema, "tables": tables, "ended_sessions": ended}
            evidence["differs"] = _move(run.schema, tables)
            evidence["columns"] = {name: _columns(name) for name in tables}
        return evidence

    done = with_locks({Mode.WHOLE: quoted, Mode.NO_WRITES: led_to(quoted)}, move, ends_sessions=True)
    _tell(tables)
    return done


def _tell(tables: Sequence[str]) -> None:
    """Whoever holds something of them."""
    with transaction.atomic():
        tell_restored(model for name, model in models().items() if name in tables)


def _columns(name: str) -> dict[str, str]:
    return {part: said for (kind, part), said in shape(connection, sql.quoted(name)).items() if kind == "column"}


def _move(schema: str, tables: Sequence[str]) -> list[str]:
    """Returns in what the tables put in their place differ, which only an unfinished migration makes them."""
    before = {name: shape(connection, sql.quoted(name)) for name in tables}
    do(f"CREATE SCHEMA {sql.quoted(schema)}")
    for name in tables:
        do(f"ALTER TABLE {sql.quoted(name)} SET SCHEMA {sql.quoted(schema)}")
    ours = models()
    with connection.schema_editor() as editor:
        for name in tables:
            if name in ours:
                editor.create_model(ours[name])
            else:  # somebody else's
                do(f"CREATE TABLE {sql.quoted(name)} (LIKE {sql.quoted(schema, name)} INCLUDING ALL)")
    for name in tables:
        copy_rights(sql.quoted(schema, name), sql.quoted(name))
        if name in ours:
            key = ours[name]._meta.pk.column
            number_from(sql.quoted(name), key, numbered(sql.quoted(schema, name), key))
    return [each for name in tables for each in _differences(name, before[name], shape(connection, sql.quoted(name)))]


def _differences(name: str, was: Shape, is_now: Shape) -> list[str]:
    return [f"{name}: {kind} {part}" for kind, part in sorted(dict(was.items() ^ is_now.items()))]


def put_back(undo: RecoveryRun, run: RecoveryRun) -> runner.Evidence:
    """The tables that it took out. Those that stood in for them go to a schema beside the quarantine where anything was
    written to them, and away where nothing was. Raises InTheWay, or Refused where a migration came in between.
    """
    tables = tables_of(run)
    if not tables:
        raise Refused(f"{run} holds nothing in quarantine", f"it was purged: restore {run.snapshot}")
    stand_ins = [sql.quoted(name) for name in tables]
    whole = [*stand_ins, *(sql.quoted(run.schema, name) for name in tables)]

    def swap(ended: Sessions) -> runner.Evidence:
        with runner.fenced(undo, "put_back") as evidence:
            _require_same(run, tables)
            evidence |= {"tables": tables, "ended_sessions": ended}
            evidence["written_meanwhile"] = _swap(run, tables)
        return evidence

    # Whole, for dropping a foreign key asks that of the table it leads to.
    done = with_locks({Mode.WHOLE: [*whole, *led_to(stand_ins)]}, swap, ends_sessions=True)
    _tell(tables)
    return done


def _require_same(run: RecoveryRun, tables: Sequence[str]) -> None:
    if reached := sorted(set(closure()) - set(tables)):
        raise Refused(f"a migration made {', '.join(reached)} since", f"restore {run.snapshot} instead")
    before = runner.evidence(run, "quarantine")["columns"]
    changed = [f"{name}: {part}" for name in tables for part, _ in before[name].items() ^ _columns(name).items()]
    if changed:
        said = ", ".join(sorted(set(changed)))
        raise Refused(f"a migration came in between: {said}", f"restore {run.snapshot} instead")


def _swap(run: RecoveryRun, tables: Sequence[str]) -> dict[str, int]:
    """Returns how many rows were written to which stand-in."""
    schema, left = run.schema, run.left_schema
    place = sql.quoted(home())
    do(f"CREATE SCHEMA {sql.quoted(left)}")
    counts = {name: count(sql.quoted(name)) for name in tables}
    for name in tables:
        do(f"ALTER TABLE {sql.quoted(name)} SET SCHEMA {sql.quoted(left)}")
        for key in names(sql.FOREIGN_KEYS, [sql.quoted(left, name)]):  # or its rows would hold others
            do(f"ALTER TABLE {sql.quoted(left, name)} DROP CONSTRAINT {sql.quoted(key)} CASCADE")
    for name in tables:
        do(f"ALTER TABLE {sql.quoted(schema, name)} SET SCHEMA {place}")
    do(f"DROP SCHEMA {sql.quoted(schema)}")
    written = {name: rows for name, rows in counts.items() if rows}
    for name in tables:
        if name not in written:
            do(f"DROP TABLE {sql.quoted(left, name)}")
    if not written:
        do(f"DROP SCHEMA {sql.quoted(left)}")
    return written


def purge(purging: RecoveryRun, run: RecoveryRun) -> runner.Evidence:
    """Drop for good what the run took out, or what its undo left."""
    schemas = [schema for schema in (run.schema, run.left_schema) if _exists(schema)]
    held = [sql.quoted(schema, name) for schema in schemas for name in names(sql.TABLES_IN, [schema])]

    def drop(ended: object) -> runner.Evidence:
        with runner.fenced(purging, "drop") as evidence:
            evidence["tables"] = held
            for schema in schemas:
                do(f"DROP SCHEMA {sql.quoted(schema)} CASCADE")
        return evidence

    return with_locks({Mode.WHOLE: [*held, *led_to(held)]}, drop, ends_sessions=False)


def is_held(run: RecoveryRun) -> bool:
    """What it took out of service."""
    return _exists(run.schema)


def has_left(run: RecoveryRun) -> bool:
    """That, or what was written meanwhile."""
    return is_held(run) or _exists(run.left_schema)


def _exists(schema: str) -> bool:
    return bool(rows_of(sql.SCHEMA_EXISTS, [schema])[0][0])
