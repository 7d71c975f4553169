"""The shape of a table: what its catalog entries contain, and what its model asks for."""

from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.schema import DatabaseSchemaEditor

from rollout.recovery.postgres import sql

LOCK_WAIT_MS = 2000
Shape = dict[tuple[str, str], str]


def read_table_shape(connection: BaseDatabaseWrapper, table: str) -> Shape:
    """Return the definition of each column, constraint, index and trigger, by its kind and name.

    table: quoted if necessary.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.TABLE_SHAPE, {"table": table})
        return {(kind, name): definition or "" for kind, name, definition in cursor.fetchall()}


def read_model_shape(model: type[models.Model]) -> Shape:
    """Return the shape that the model asks for, without foreign keys and triggers, in PostgreSQL's own words.

    It makes the table as a temporary one and reads its shape, on a connection of its own that commits nothing.
    Raises django.db.Error.
    """
    separate: Any = connections.create_connection("default")
    try:
        separate.set_autocommit(False)
        with separate.cursor() as cursor:
            cursor.execute(sql.READ_WRITE)
            cursor.execute(sql.SET_LOCK_TIMEOUT.format(milliseconds=LOCK_WAIT_MS))
        temporary_editor: Any = type(
            "TemporaryTableEditor", (separate.SchemaEditorClass,), {"sql_create_table": sql.CREATE_TEMPORARY_TABLE}
        )
        with temporary_editor(separate, atomic=False) as editor:
            # The connection's usual editor would also replace the functions of the model's triggers; this one does not.
            DatabaseSchemaEditor.create_model(editor, model)
            editor.deferred_sql = [each for each in editor.deferred_sql if "FOREIGN KEY" not in str(each)]
        return read_table_shape(separate, f"pg_temp.{separate.ops.quote_name(model._meta.db_table)}")
    finally:
        separate.close()
