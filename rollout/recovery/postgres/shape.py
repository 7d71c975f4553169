"""What a table is made of, as the catalogue says it, and what its model says that it should be."""

from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.schema import DatabaseSchemaEditor

# PostgreSQL's own wording, so that two tables of one shape read the same in whichever schema they lie.
SHAPE = """
SELECT 'column', attname, concat_ws(' ', format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END,
       nullif(attidentity, ''), pg_get_expr(adbin, adrelid))
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = %(table)s::regclass AND contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL
SELECT 'index', relname,
       concat(CASE WHEN indisunique THEN 'unique' END, split_part(pg_get_indexdef(indexrelid), ' USING', 2))
  FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = %(table)s::regclass
UNION ALL
SELECT 'trigger', tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal"""
TEMPORARY = "CREATE TEMPORARY TABLE %(table)s (%(definition)s)"
Shape = dict[tuple[str, str], str]


def shape(connection: BaseDatabaseWrapper, table: str) -> Shape:
    """Of each column, constraint, index and trigger, by (kind, name), its definition. table: quoted where need be."""
    with connection.cursor() as cursor:
        cursor.execute(SHAPE, {"table": table})
        return {(kind, name): definition or "" for kind, name, definition in cursor.fetchall()}


def as_modelled(model: type[models.Model]) -> Shape:
    """What the model says, but for foreign keys and triggers, in PostgreSQL's wording: it is asked by making the table,
    a temporary one, on a connection of its own that takes all back. Raises django.db.Error.
    """
    own: Any = connections.create_connection("default")
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ WRITE")
            cursor.execute("SET LOCAL lock_timeout = '2s'")
        editing: Any = type("Temporary", (own.SchemaEditorClass,), {"sql_create_table": TEMPORARY})
        with editing(own, atomic=False) as editor:
            DatabaseSchemaEditor.create_model(editor, model)  # past the one that would write triggers' functions anew
            editor.deferred_sql = [each for each in editor.deferred_sql if "FOREIGN KEY" not in str(each)]
        return shape(own, f"pg_temp.{own.ops.quote_name(model._meta.db_table)}")
    finally:
        own.close()
