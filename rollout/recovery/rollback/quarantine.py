"""The quarantine of an emergency: tables are moved, unchanged, to a schema of their run, and empty ones stand in.

The undo moves the very same tables back.
"""

from collections.abc import Sequence

from django.db import connection, transaction

from core.errors import Refused, SlipwayError
from rollout.models import RecoveryRun
from rollout.recovery import runner
from rollout.recovery.evidence import DroppedTables, QuarantinedTables, ReturnedTables
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.locks import BlockingSession, LockMode, with_locks, with_locks_by_force
from rollout.recovery.postgres.shape import Shape, read_table_shape
from rollout.recovery.postgres.tables import (
    continue_numbering,
    copy_rights,
    count_rows,
    current_schema,
    execute,
    fetch_names,
    fetch_rows,
    highest_number,
    tables_referenced_by,
)
from rollout.recovery.protect import models_by_table, notify_rows_replaced, protected


def tables_to_quarantine() -> list[str]:
    """Return the tables that a standard rollback changes, and all tables that reference them by foreign keys."""
    roots = [sql.quoted(protection.table) for protection in protected() if protection.on_standard]
    return fetch_names(sql.CLOSURE, {"roots": roots}) if roots else []


def tables_of(run: RecoveryRun) -> list[str]:
    """Return the tables that the run holds in quarantine."""
    return fetch_names(sql.TABLES_IN, [run.schema])


def move_to_quarantine(run: RecoveryRun) -> None:
    """Move the tables to the quarantine, and put empty ones in their place, in one transaction.

    Raises BlockedBySessions, or Refused if the database role may not create a schema.
    """
    _require_right_to_create_schema()
    tables = tables_to_quarantine()
    quoted = [sql.quoted(name) for name in tables]

    def move(ended_sessions: list[BlockingSession]) -> None:
        with runner.finishing(run, "quarantine") as evidence:
            if tables_to_quarantine() != tables:
                raise SlipwayError(
                    "cannot quarantine the tables: a migration changed their foreign keys at the same time",
                    f"run: {runner.resume_command(run)}",
                )
            differences = _replace_by_stand_ins(run.schema, tables)
            evidence.update(
                QuarantinedTables(
                    schema=run.schema,
                    tables=tables,
                    ended_sessions=ended_sessions,
                    differs=differences,
                    columns={name: _column_definitions(name) for name in tables},
                )
            )

    locks = {LockMode.ACCESS_EXCLUSIVE: quoted, LockMode.SHARE_ROW_EXCLUSIVE: tables_referenced_by(quoted)}
    with_locks_by_force(locks, move)
    _notify_moved(tables)


def _require_right_to_create_schema() -> None:
    [(may_create, database, role)] = fetch_rows(sql.CAN_CREATE_SCHEMA)
    if not may_create:
        raise Refused(
            f"cannot create the schema of the quarantine: the role {role} lacks CREATE on the database {database}",
            f"run as the database's owner: GRANT CREATE ON DATABASE {sql.quoted(database)} TO {sql.quoted(role)}",
        )


def _notify_moved(tables: Sequence[str]) -> None:
    """Notify the apps, which may hold copies of rows, that these tables now have other contents."""
    with transaction.atomic():
        notify_rows_replaced(model for name, model in models_by_table().items() if name in tables)


def _column_definitions(table: str) -> dict[str, str]:
    shape = read_table_shape(connection, sql.quoted(table))
    return {name: definition for (kind, name), definition in shape.items() if kind == "column"}


def _replace_by_stand_ins(schema: str, tables: Sequence[str]) -> list[str]:
    """Move the tables, and make stand-ins. Return the differences in shape.

    Only a migration that is not finished causes any.
    """
    shapes = {name: read_table_shape(connection, sql.quoted(name)) for name in tables}
    execute(sql.CREATE_SCHEMA.format(schema=sql.quoted(schema)))
    for name in tables:
        execute(sql.SET_SCHEMA.format(table=sql.quoted(name), schema=sql.quoted(schema)))
    models = models_by_table()
    with connection.schema_editor() as editor:
        for name in tables:
            if name in models:
                editor.create_model(models[name])
            else:
                execute(sql.CREATE_STAND_IN.format(new=sql.quoted(name), old=sql.quoted(schema, name)))
    for name in tables:
        copy_rights(sql.quoted(schema, name), sql.quoted(name))
        if name in models:
            primary_key = models[name]._meta.pk.column
            highest = highest_number(sql.quoted(schema, name), primary_key)
            continue_numbering(sql.quoted(name), primary_key, highest)
    stand_ins = {name: read_table_shape(connection, sql.quoted(name)) for name in tables}
    return [text for name in tables for text in _shape_differences(name, shapes[name], stand_ins[name])]


def _shape_differences(table: str, replaced: Shape, stand_in: Shape) -> list[str]:
    return [f"{table}: {kind} {part}" for kind, part in sorted(dict(replaced.items() ^ stand_in.items()))]


def put_back(undo: RecoveryRun) -> None:
    """Move the tables of the emergency back. Stand-ins with rows are kept in a schema of their own; others are dropped.

    Raises BlockedBySessions, or Refused if the quarantine is gone or a migration changed the tables since.
    """
    run = undo.target
    tables = tables_of(run)
    if not tables:
        raise Refused(f"cannot put the tables back: {run} holds nothing in quarantine", _restore_remedy(run))
    stand_ins = [sql.quoted(name) for name in tables]
    quarantined = [sql.quoted(run.schema, name) for name in tables]

    def swap(ended_sessions: list[BlockingSession]) -> None:
        with runner.finishing(undo, "put_back") as evidence:
            _require_no_migration_since(run, tables)
            written = _swap(run, tables)
            evidence.update(
                ReturnedTables(tables=tables, ended_sessions=ended_sessions, written_meanwhile=written),
            )

    # Dropping a foreign key takes an ACCESS EXCLUSIVE lock on the table that it references, too.
    locks = {LockMode.ACCESS_EXCLUSIVE: [*stand_ins, *quarantined, *tables_referenced_by(stand_ins)]}
    with_locks_by_force(locks, swap)
    _notify_moved(tables)


def _restore_remedy(run: RecoveryRun) -> str:
    return f"run: manage.py restore {run.snapshot}" if run.snapshot else "no snapshot of it was taken"


def _require_no_migration_since(run: RecoveryRun, tables: Sequence[str]) -> None:
    if new_tables := sorted(set(tables_to_quarantine()) - set(tables)):
        names = ", ".join(new_tables)
        raise Refused(f"cannot put the tables back: a later migration made {names}", _restore_remedy(run))
    columns = runner.step_evidence(run, "quarantine")["columns"]
    changed = {
        f"{table}: {column}"
        for table in tables
        for column, _ in columns[table].items() ^ _column_definitions(table).items()
    }
    if changed:
        names = ", ".join(sorted(changed))
        raise Refused(f"cannot put the tables back: a later migration changed {names}", _restore_remedy(run))


def _swap(run: RecoveryRun, tables: Sequence[str]) -> dict[str, int]:
    """Move the stand-ins away and the tables back. Return how many rows were written to each stand-in that has any."""
    leftover_schema, home_schema = sql.quoted(run.leftover_schema), sql.quoted(current_schema())
    execute(sql.CREATE_SCHEMA.format(schema=leftover_schema))
    counts = {name: count_rows(sql.quoted(name)) for name in tables}
    for name in tables:
        execute(sql.SET_SCHEMA.format(table=sql.quoted(name), schema=leftover_schema))
        stand_in = sql.quoted(run.leftover_schema, name)
        # A kept foreign key would restrict changes of other tables.
        for foreign_key in fetch_names(sql.FOREIGN_KEYS, [stand_in]):
            execute(sql.DROP_CONSTRAINT.format(table=stand_in, name=sql.quoted(foreign_key)))
    for name in tables:
        execute(sql.SET_SCHEMA.format(table=sql.quoted(run.schema, name), schema=home_schema))
    execute(sql.DROP_SCHEMA.format(schema=sql.quoted(run.schema)))
    written = {name: rows for name, rows in counts.items() if rows}
    for name in tables:
        if name not in written:
            execute(sql.DROP_TABLE.format(table=sql.quoted(run.leftover_schema, name)))
    if not written:
        execute(sql.DROP_SCHEMA.format(schema=leftover_schema))
    return written


def drop(purge: RecoveryRun) -> None:
    """Drop permanently what the emergency holds in quarantine, or what its undo kept of the stand-ins."""
    run = purge.target
    schemas = [schema for schema in (run.schema, run.leftover_schema) if _exists(schema)]
    tables = [sql.quoted(schema, name) for schema in schemas for name in fetch_names(sql.TABLES_IN, [schema])]

    def drop_schemas() -> None:
        with runner.finishing(purge, "drop") as evidence:
            evidence.update(DroppedTables(tables=tables))
            for schema in schemas:
                execute(sql.DROP_SCHEMA_AND_TABLES.format(schema=sql.quoted(schema)))

    locks = {LockMode.ACCESS_EXCLUSIVE: [*tables, *tables_referenced_by(tables)]}
    with_locks(locks, drop_schemas)


def is_held(run: RecoveryRun) -> bool:
    """Return whether the run holds tables in quarantine."""
    return _exists(run.schema)


def has_purgeable_tables(run: RecoveryRun) -> bool:
    """Return whether the run holds tables in quarantine, or its undo kept stand-ins with rows."""
    return is_held(run) or _exists(run.leftover_schema)


def _exists(schema: str) -> bool:
    return bool(fetch_rows(sql.SCHEMA_EXISTS, [schema])[0][0])
