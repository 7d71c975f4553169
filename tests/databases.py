"""A database per test process, cloned from a migrated template: a clone takes a fraction of the migrations' time."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from django.core.management import call_command
from django.db import connection, transaction
from psycopg import connect, errors, sql

from config.embedded.location import VAR
from core.process.lifetime import open_lock
from tests.processes import until
from tests.servers import TABLESPACE_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "slipway_template_"
CLONE = "slipway_test_"


def fingerprint() -> str:
    """Return a short hash of the migrations and the locked packages: a template with another one is out of date."""
    files = sorted(ROOT.glob("*/migrations/*.py"))
    digest = hashlib.sha256((ROOT / "requirements.txt").read_bytes())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the lock that keeps test processes from making templates and clones at the same time."""
    lock = open_lock(VAR / "test-databases.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def execute(statement: str, *names: str) -> list[tuple[str, ...]]:
    """Run the statement on a new connection, because databases are made and dropped outside transactions.

    names: identifiers for the placeholders of the statement.
    """
    params = connection.get_connection_params()
    options = {key: params[key] for key in ("dbname", "user", "password", "host", "port") if key in params}
    with connect(**options, autocommit=True) as autocommitting:
        query = sql.SQL(statement).format(*map(sql.Identifier, names))
        cursor = autocommitting.execute(query)
        return cursor.fetchall() if cursor.description else []


def end_session(backend: int) -> None:
    """End a session of PostgreSQL, by its process id. Return when it has ended, not when it was asked to."""
    execute(f"SELECT pg_terminate_backend({backend}, 60000)")  # milliseconds


def address(name: str = "") -> str:
    """Return the address of a database for another process; without a name, that of this process's database."""
    options = connection.settings_dict
    credentials = f"{options['USER']}:{options['PASSWORD']}".removesuffix(":")
    return f"postgres://{credentials}@{quote(options['HOST'], safe='')}/{name or options['NAME']}"


def clone() -> str:
    """Make this process's database, and delete databases of earlier runs. Return its name."""
    name = f"{CLONE}{os.getpid()}"
    with one_at_a_time():
        template = TEMPLATE + fingerprint()
        existing = {row[0] for row in execute("SELECT datname FROM pg_database")}
        for old in existing:
            if (old.startswith(TEMPLATE) and old != template) or (old.startswith(CLONE) and not is_used(old)):
                execute("DROP DATABASE {} WITH (FORCE)", old)
        if template not in existing:
            make_template(template)
        copy(template, name)
    return name


def copy(template: str, name: str) -> None:
    """Copy a database, into memory if tests.servers made a tablespace there."""
    statement, names = "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", [name, template]
    tablespace = os.environ.get(TABLESPACE_VARIABLE)
    if tablespace:
        statement += " TABLESPACE {}"
        names.append(tablespace)
    execute(statement, *names)


def is_used(name: str) -> bool:
    """Return whether the clone belongs to another process that is running."""
    with suppress(ProcessLookupError):
        os.kill(int(name.removeprefix(CLONE)), 0)
        return int(name.removeprefix(CLONE)) != os.getpid()
    return False


def make_template(name: str) -> None:
    execute("CREATE DATABASE {}", name)
    name_before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except BaseException:
        connection.close()
        connection.settings_dict["NAME"] = name_before
        execute("DROP DATABASE {}", name)
        raise
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name_before


def dump() -> dict[str, bytes]:
    """Return the rows of each table that has any, in the format of COPY, without the audit tables.

    Triggers write the audit tables, so a restore of the others would write them twice.
    """
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    rows: dict[str, bytes] = {}
    with connection.cursor() as cursor:
        for table in sorted(tables):
            if table.endswith("event") and table.removesuffix("event") in tables:
                continue
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                content = b"".join(bytes(part) for part in copy)
            if content:
                rows[table] = content
    return rows


def restore(rows: dict[str, bytes]) -> None:
    """Put the rows back into tables that were emptied. This takes a tenth of the time of Django's own function."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM django_content_type)")
        if cursor.fetchone()[0]:
            return
        for table, content in rows.items():
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(content)


def drop(name: str) -> None:
    """Drop the database. A plain role may not end an autovacuum worker in it, which ends by itself soon."""

    def is_dropped() -> bool:
        try:
            execute("DROP DATABASE {} WITH (FORCE)", name)
        except errors.InsufficientPrivilege:
            return False
        return True

    assert until(is_dropped)
