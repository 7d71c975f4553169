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
from tests.servers import USED

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "slipway_template_"
CLONE = "slipway_test_"


def fingerprint() -> str:
    files = sorted(ROOT.glob("*/migrations/*.py"))
    digest = hashlib.sha256((ROOT / "requirements.txt").read_bytes())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    lock = open_lock(VAR / "test-databases.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def execute(statement: str, *names: str) -> list[tuple[str, ...]]:
    """On a connection of its own, since databases are made and dropped outside transactions."""
    params = connection.get_connection_params()
    wanted = {key: params[key] for key in ("dbname", "user", "password", "host", "port") if key in params}
    with connect(**wanted, autocommit=True) as own:
        query = sql.SQL(statement).format(*map(sql.Identifier, names))
        cursor = own.execute(query)
        return cursor.fetchall() if cursor.description else []


def address(name: str = "") -> str:
    """Of a database, for another process: the tests' own where no name is said."""
    role = connection.settings_dict
    who = f"{role['USER']}:{role['PASSWORD']}".removesuffix(":")
    return f"postgres://{who}@{quote(role['HOST'], safe='')}/{name or role['NAME']}"


def clone() -> str:
    """Make this process's database. Returns its name."""
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
    """In memory where tests.servers found some."""
    tablespace = os.environ.get(USED)
    where = " TABLESPACE {}" if tablespace else ""
    execute(
        f"CREATE DATABASE {{}} TEMPLATE {{}} STRATEGY file_copy{where}", name, template, *filter(None, [tablespace])
    )


def is_used(name: str) -> bool:
    with suppress(ProcessLookupError):
        os.kill(int(name.removeprefix(CLONE)), 0)
        return int(name.removeprefix(CLONE)) != os.getpid()
    return False


def make_template(name: str) -> None:
    execute("CREATE DATABASE {}", name)
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except BaseException:
        connection.close()
        connection.settings_dict["NAME"] = before
        execute("DROP DATABASE {}", name)
        raise
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def dump() -> dict[str, bytes]:
    """The rows of each table that has any, but for those that triggers write."""
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    rows: dict[str, bytes] = {}
    with connection.cursor() as cursor:
        for table in sorted(tables):
            if table.endswith("event") and f"{table.removesuffix('event')}" in tables:
                continue
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                if found := b"".join(bytes(part) for part in copy):
                    rows[table] = found
    return rows


def restore(rows: dict[str, bytes]) -> None:
    """Into tables that were emptied: a tenth of the time that Django's own way takes."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM django_content_type)")
        if cursor.fetchone()[0]:
            return
        for table, found in rows.items():
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(found)


def drop(name: str) -> None:
    """An autovacuum worker in it, which a plain role may not end, goes by itself in a moment."""

    def dropped() -> bool:
        try:
            execute("DROP DATABASE {} WITH (FORCE)", name)
        except errors.InsufficientPrivilege:
            return False
        return True

    assert until(dropped)
