"""Recovery's statements, written by hand since the ORM has no COPY, no hash over whole rows and no schemas."""

from collections.abc import Mapping, Sequence

from django.db import connection

# Types that PostgreSQL has a hash of; others, as json, are hashed as text.
HASHED = {"bigint", "integer", "smallint", "boolean", "double precision", "real", "numeric", "varchar", "text", "uuid"}
HASHED |= {"timestamp with time zone", "date", "time", "interval", "jsonb", "bytea", "inet"}


def quoted(*names: str) -> str:
    """One after the other, as `"schema"."table"`; empty ones are left out."""
    return ".".join(connection.ops.quote_name(name) for name in names if name)


def listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))


def copy_out(table: str, columns: Sequence[str], key: str, *, is_text: bool) -> str:
    """table: quoted. In the order of the key, and of its bytes, so that equal tables make equal files on any server."""
    by = f'{quoted(key)} COLLATE "C"' if is_text else quoted(key)
    return f"COPY (SELECT {listed(columns)} FROM {table} ORDER BY {by}) TO STDOUT"


def content_hash(table: str, columns: Mapping[str, str]) -> str:
    """table: quoted. columns: with their types. The sum of a 64-bit hash of each row, in an eighth of the time that two
    of its text take: the same in whatever order rows are read, and side by side. PostgreSQL's hash of a record is a
    sum of its columns', so that two rows that swap a value would sum up to the same: it is hashed once more.
    """
    values = ", ".join(
        quoted(name) if kind.partition("(")[0] in HASHED else f"{quoted(name)}::text" for name, kind in columns.items()
    )
    row = f"hashint8extended(hash_record_extended(ROW({values}), 1), 1)"
    return f"SELECT concat_ws(':', count(*), coalesce(sum({row}), 0)) FROM {table}"


# Who holds a lock that conflicts; pid 0 is a prepared transaction. Statements are left out, for they hold values.
BLOCKERS = """
SELECT coalesce(held.pid, 0), coalesce(session.usename = current_user, false),
       CASE WHEN held.pid IS NULL THEN 'prepared transaction'
            WHEN session.usesysid IS NULL THEN 'autovacuum worker' ELSE 'client' END,  -- of others no more is told
       coalesce(session.application_name, ''),
       coalesce(session.state, ''), coalesce(extract(epoch FROM now() - session.xact_start), 0)::float8
  FROM pg_locks held LEFT JOIN pg_stat_activity session ON session.pid = held.pid
 WHERE held.granted AND held.locktype = 'relation' AND held.pid IS DISTINCT FROM pg_backend_pid()
   AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND held.relation = ANY(%(tables)s::regclass[]) AND held.mode <> ALL(%(harmless)s)
 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1"""

# The tables named, and all that reach them by foreign keys, directly or over others.
CLOSURE = """
WITH RECURSIVE reached AS (
     SELECT unnest(%(roots)s::regclass[])::oid AS oid
      UNION SELECT conrelid FROM pg_constraint JOIN reached ON confrelid = reached.oid WHERE contype = 'f')
SELECT relname FROM reached JOIN pg_class USING (oid) ORDER BY relname"""
# Those that they in turn lead to.
LED_TO = """
SELECT DISTINCT confrelid::regclass::text FROM pg_constraint
 WHERE contype = 'f' AND conrelid = ANY(%(tables)s::regclass[]) AND confrelid <> ALL(%(tables)s::regclass[])
 ORDER BY 1"""
# Foreign keys that lead to a table: whose they are, their column, and that table's own key.
LEADING_TO = """
SELECT child.relname, fk.attname, (SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid
                                      AND attnum = indkey[0] WHERE indrelid = conrelid AND indisprimary)
  FROM pg_constraint JOIN pg_class child ON child.oid = conrelid
  JOIN pg_attribute fk ON fk.attrelid = conrelid AND fk.attnum = conkey[1]
 WHERE contype = 'f' AND confrelid = %(table)s::regclass AND conrelid <> confrelid"""
SCHEMA_EXISTS = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
TABLES_IN = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
FOREIGN_KEYS = "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'"
# Triggers, views, row security, publications, rights on single columns: what another table would not have.
HAS_MORE = """
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal)
    OR EXISTS (SELECT FROM pg_depend WHERE refobjid = %(table)s::regclass AND classid = 'pg_rewrite'::regclass)
    OR EXISTS (SELECT FROM pg_policy WHERE polrelid = %(table)s::regclass)
    OR EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = %(table)s::regclass)
    OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attacl IS NOT NULL)"""

# Owner and rights of one table, as statements for another.
RIGHTS = """
SELECT format('ALTER TABLE %%s OWNER TO %%s', %(to)s::text, relowner::regrole) FROM pg_class
 WHERE oid = %(of)s::regclass AND relowner <> current_user::regrole
UNION ALL
SELECT format('GRANT %%s ON %%s TO %%s%%s', privilege_type, %(to)s::text,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
  FROM pg_class, aclexplode(relacl) WHERE oid = %(of)s::regclass AND grantee <> relowner"""

# How far a table's numbering has come: no number up to it may be given again.
NUMBERED = """
SELECT greatest(coalesce((SELECT max({key}) FROM {table}), 0),
                coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, %(key)s)), 0))"""
NUMBER_FROM = "SELECT setval(pg_get_serial_sequence(%(table)s, %(key)s), %(highest)s, %(is_used)s)"
IS_NUMBERED = "SELECT pg_get_serial_sequence(%(table)s, %(key)s) IS NOT NULL"

# What a table is made beside another: with its options, and in the end its keys and indexes, as PostgreSQL words them.
LIKE = "INCLUDING ALL EXCLUDING INDEXES"
OPTIONS = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = %s::regclass"
KEYS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'x', 'f') ORDER BY contype = 'f', conname"""
INDEXES = """
SELECT relname, indisunique, substring(pg_get_indexdef(indexrelid) FROM ' USING .*') FROM pg_index
  JOIN pg_class ON oid = indexrelid
 WHERE indrelid = %(table)s::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid
       AND conrelid = indrelid)"""
