"""Recovery's statements. The ORM has no COPY, no hash over whole rows, no table locks, no schemas and no DDL."""

from collections.abc import Mapping, Sequence

from django.db import connection
from psycopg.sql import SQL

# ---- Names --------------------------------------------------------------------------------------------------------


def quoted(*names: str) -> str:
    """Return the qualified name, each part quoted: `"schema"."table"`. Empty parts are left out."""
    return ".".join(connection.ops.quote_name(name) for name in names if name)


def quoted_list(names: Sequence[str]) -> str:
    """Return the names, quoted and separated by commas."""
    return ", ".join(map(quoted, names))


# ---- Contents of a table ------------------------------------------------------------------------------------------

# PostgreSQL has a hash function for these types. Values of other types, such as json, are hashed as text.
HASHED_TYPES = {"bigint", "integer", "smallint", "boolean", "double precision", "real", "numeric", "varchar", "text"}
HASHED_TYPES |= {"uuid", "timestamp with time zone", "date", "time", "interval", "jsonb", "bytea", "inet"}


def copy_out_query(table: str, columns: Sequence[str], key: str, *, is_text: bool) -> str:
    """Return the COPY statement that reads the table in the order of its key, so that equal tables give equal files.

    table: quoted.
    is_text: the key is text; it is ordered by its bytes, which is the same on every server.
    """
    order = f'{quoted(key)} COLLATE "C"' if is_text else quoted(key)
    return f"COPY (SELECT {quoted_list(columns)} FROM {table} ORDER BY {order}) TO STDOUT"


def content_hash_query(table: str, columns: Mapping[str, str]) -> str:
    """Return the query for the row count and the sum of a 64-bit hash of each row, as `count:sum`.

    The sum is the same in any order of rows, so that parallel workers can compute it; it takes an eighth of the time of
    two hashes of each row's text. PostgreSQL's hash of a record is the sum of its columns' hashes: two rows that swap a
    value would give the same total. Therefore each row's hash is hashed once more.

    table: quoted.
    columns: names and types.
    """
    values = ", ".join(
        quoted(name) if kind.partition("(")[0] in HASHED_TYPES else f"{quoted(name)}::text"
        for name, kind in columns.items()
    )
    row = f"hashint8extended(hash_record_extended(ROW({values}), 1), 1)"
    return f"SELECT concat_ws(':', count(*), coalesce(sum({row}), 0)) FROM {table}"


COUNT_ROWS = "SELECT count(*) FROM {table}"

# ---- Locks --------------------------------------------------------------------------------------------------------

SET_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '{milliseconds}ms'"
LOCK_TABLES = "LOCK TABLE {tables} IN {mode} MODE"
# The sessions that hold a conflicting lock; pid 0 is a prepared transaction. PostgreSQL shows no user id for an
# autovacuum worker. The sessions' statements are left out because they contain values.
BLOCKING_SESSIONS = """
SELECT coalesce(held.pid, 0), coalesce(session.usename = current_user, false),
       CASE WHEN held.pid IS NULL THEN 'prepared transaction'
            WHEN session.usesysid IS NULL THEN 'autovacuum worker' ELSE 'client' END,
       coalesce(session.application_name, ''),
       coalesce(session.state, ''), coalesce(extract(epoch FROM now() - session.xact_start), 0)::float8
  FROM pg_locks held LEFT JOIN pg_stat_activity session ON session.pid = held.pid
 WHERE held.granted AND held.locktype = 'relation' AND held.pid IS DISTINCT FROM pg_backend_pid()
   AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND held.relation = ANY(%(tables)s::regclass[]) AND held.mode <> ALL(%(harmless)s)
 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1"""
TERMINATE_SESSION = "SELECT pg_terminate_backend(%s)"

# ---- Foreign keys -------------------------------------------------------------------------------------------------

# The tables named, and all that reference them by foreign keys, directly or through other tables.
CLOSURE = """
WITH RECURSIVE reached AS (
     SELECT unnest(%(roots)s::regclass[])::oid AS oid
      UNION SELECT conrelid FROM pg_constraint JOIN reached ON confrelid = reached.oid WHERE contype = 'f')
SELECT relname FROM reached JOIN pg_class USING (oid) ORDER BY relname"""
# The other tables that these tables reference.
REFERENCED_TABLES = """
SELECT DISTINCT confrelid::regclass::text FROM pg_constraint
 WHERE contype = 'f' AND conrelid = ANY(%(tables)s::regclass[]) AND confrelid <> ALL(%(tables)s::regclass[])
 ORDER BY 1"""
# The foreign keys that reference a table: the table that has the key, its column, and its own primary key.
INCOMING_FOREIGN_KEYS = """
SELECT child.relname, fk.attname, (SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid
                                      AND attnum = indkey[0] WHERE indrelid = conrelid AND indisprimary)
  FROM pg_constraint JOIN pg_class child ON child.oid = conrelid
  JOIN pg_attribute fk ON fk.attrelid = conrelid AND fk.attnum = conkey[1]
 WHERE contype = 'f' AND confrelid = %(table)s::regclass AND conrelid <> confrelid"""
FOREIGN_KEYS = "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'"
CONSTRAINTS_IMMEDIATE = "SET CONSTRAINTS ALL IMMEDIATE"

# ---- Schemas ------------------------------------------------------------------------------------------------------

CURRENT_SCHEMA = "SELECT current_schema()"
SCHEMA_EXISTS = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
TABLES_IN = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
CREATE_SCHEMA = "CREATE SCHEMA {schema}"
DROP_SCHEMA = "DROP SCHEMA {schema}"
SET_SCHEMA = "ALTER TABLE {table} SET SCHEMA {schema}"
DROP_TABLE = "DROP TABLE {table}"

# ---- Owner, privileges and numbering ------------------------------------------------------------------------------

# The owner and the privileges of one table, as statements for another.
RIGHTS = """
SELECT format('ALTER TABLE %%s OWNER TO %%s', %(to)s::text, relowner::regrole) FROM pg_class
 WHERE oid = %(of)s::regclass AND relowner <> current_user::regrole
UNION ALL
SELECT format('GRANT %%s ON %%s TO %%s%%s', privilege_type, %(to)s::text,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
  FROM pg_class, aclexplode(relacl) WHERE oid = %(of)s::regclass AND grantee <> relowner"""
# The highest number that a table's sequence or its rows have used; no number up to it may be given again.
HIGHEST_NUMBER = """
SELECT greatest(coalesce((SELECT max({key}) FROM {table}), 0),
                coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, %(key)s)), 0))"""
SET_HIGHEST_NUMBER = "SELECT setval(pg_get_serial_sequence(%(table)s, %(key)s), %(highest)s, %(is_used)s)"
IS_NUMBERED = "SELECT pg_get_serial_sequence(%(table)s, %(key)s) IS NOT NULL"

# ---- A table that replaces another --------------------------------------------------------------------------------

# Triggers, views, row security, publications and column privileges: a new table would not have them.
HAS_DEPENDENTS = """
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal)
    OR EXISTS (SELECT FROM pg_depend WHERE refobjid = %(table)s::regclass AND classid = 'pg_rewrite'::regclass)
    OR EXISTS (SELECT FROM pg_policy WHERE polrelid = %(table)s::regclass)
    OR EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = %(table)s::regclass)
    OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attacl IS NOT NULL)"""
STORAGE_OPTIONS = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = %s::regclass"
# Indexes are made after the rows are loaded, which is faster.
CREATE_LIKE = "CREATE TABLE {new} (LIKE {old} INCLUDING ALL EXCLUDING INDEXES){options}"
RAISE_INDEX_MEMORY = "SET LOCAL maintenance_work_mem = '256MB'"
# FREEZE is possible because the same transaction created the table; no vacuum has to rewrite the rows later.
COPY_IN_FROZEN = "COPY {table} ({columns}) FROM STDIN (FREEZE)"
# Keys and indexes in PostgreSQL's own words; foreign keys come last.
KEY_DEFINITIONS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'x', 'f') ORDER BY contype = 'f', conname"""
INDEX_DEFINITIONS = """
SELECT relname, indisunique, substring(pg_get_indexdef(indexrelid) FROM ' USING .*') FROM pg_index
  JOIN pg_class ON oid = indexrelid
 WHERE indrelid = %(table)s::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid
       AND conrelid = indrelid)"""
ADD_CONSTRAINT = "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
CREATE_INDEX = "CREATE INDEX {name} ON {table}{definition}"
CREATE_UNIQUE_INDEX = "CREATE UNIQUE INDEX {name} ON {table}{definition}"
ANALYZE = "ANALYZE {table}"

# ---- Rows that a restore changes ----------------------------------------------------------------------------------

# One temporary table holds all differing rows of a table; `how_` is the kind of change: added, changed or removed.
CREATE_CHANGES = """
CREATE TEMP TABLE {changes} ON COMMIT DROP AS
SELECT ''::text AS how_, {columns} FROM {table} WITH NO DATA"""
COPY_IN_CHANGES = "COPY {changes} FROM STDIN"
REMOVED_KEYS = "SELECT {key} FROM {changes} WHERE how_ = 'removed'"
REFERENCING_KEYS = "SELECT {key} FROM {table} WHERE {column} IN ({keys})"
DELETE_KEYS = "DELETE FROM {table} WHERE {column} IN ({keys})"
UPDATE_CHANGED = """
UPDATE {table} target SET {assignments}
  FROM {changes} change WHERE change.how_ = 'changed' AND target.{key} = change.{key}"""
DELETE_CHANGED = """
DELETE FROM {table} target
 USING {changes} change WHERE change.how_ = 'changed' AND target.{key} = change.{key}"""
INSERT_CHANGES = "INSERT INTO {table} ({columns}) SELECT {values} FROM {changes} WHERE how_ = %s"

# ---- Shape of a table ---------------------------------------------------------------------------------------------

# PostgreSQL's own words, so that two tables of the same shape give the same text in any schema.
TABLE_SHAPE = """
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
# The schema editor fills in the placeholders of this statement.
CREATE_TEMPORARY_TABLE = "CREATE TEMPORARY TABLE %(table)s (%(definition)s)"
READ_WRITE = "SET TRANSACTION READ WRITE"

# ---- Rollbacks ----------------------------------------------------------------------------------------------------

# The ORM knows no schemas and no databases.
CAN_CREATE_SCHEMA = "SELECT has_database_privilege(current_database(), 'CREATE'), current_database(), current_user"
# The stand-in for a table that has no model, and so cannot be made by Django's schema editor.
CREATE_STAND_IN = "CREATE TABLE {new} (LIKE {old} INCLUDING ALL)"
DROP_CONSTRAINT = "ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE"
DROP_SCHEMA_AND_TABLES = "DROP SCHEMA {schema} CASCADE"
# A rehearsal's connection is psycopg's own, outside Django, because CREATE DATABASE runs in no transaction.
SCRATCH_DATABASES = SQL("SELECT datname FROM pg_database WHERE starts_with(datname, %s)")
CREATE_DATABASE = SQL("CREATE DATABASE {name} TEMPLATE template0")
DROP_DATABASE = SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # FORCE ends the sessions that use it
