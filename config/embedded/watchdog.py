"""The parent of the embedded servers: `python -m config.embedded.watchdog VAR SERVER ...`, started by `lifecycle`.

It starts the servers, restarts a server that died, and stops them when no process uses them any more.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from config.embedded.location import GIVEN_UP, Location, location_of
from config.embedded.server_commands import SERVERS
from core.process.lifetime import open_lock, tether, try_lock

POLL_SECONDS = 0.2
SHORTEST_LIFE_SECONDS = 1.0
STOP_SECONDS = 60.0


class ServerProcess:
    """A running server, as a child of this process."""

    def __init__(self, location: Location, name: str) -> None:
        self.location, self.name, self.server = location, name, SERVERS[name]
        self.start()

    def start(self) -> None:
        # The server and each of its own children inherit this lock. While one of them lives, no second server is
        # started on the same data, even if their watchdog was killed.
        lock = open_lock(self.location.var / f"{self.name}.lock")
        while not try_lock(lock):
            time.sleep(POLL_SECONDS)
        for file in self.server.left_over(self.location):
            # The lock proves that the server is dead; the pid in its file may be a zombie's, or reused.
            file.unlink(missing_ok=True)
        with self.location.open_log(self.name) as log:
            self.process = subprocess.Popen(
                self.server.command(self.location),
                **self.location.as_user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                start_new_session=True,
                preexec_fn=tether(self.server.stop_signal),
            )
        os.close(lock)
        self.started = time.monotonic()

    def keep_alive(self) -> bool:
        """Restart the server if it died. Return False if it died within SHORTEST_LIFE_SECONDS of its start."""
        if self.process.poll() is not None:
            if time.monotonic() - self.started < SHORTEST_LIFE_SECONDS:
                return False
            self.start()
        return True

    def stop(self) -> None:
        """Stop the server, and kill it if it does not stop within STOP_SECONDS."""
        if self.process.poll() is None:
            self.process.send_signal(self.server.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main(var: str, *names: str) -> None:
    location = location_of(Path(var))
    watchdog_lock = open_lock(location.var / "watchdog.lock")
    fcntl.flock(watchdog_lock, fcntl.LOCK_EX)  # waits, because a process that tests the lock holds it for a moment
    os.ftruncate(watchdog_lock, 0)
    os.write(watchdog_lock, " ".join(names).encode())
    is_stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    users = open_lock(location.var / "users.lock")
    servers = [ServerProcess(location, name) for name in names]
    while not is_stopping and not try_lock(users):
        if given_up := [server.name for server in servers if not server.keep_alive()]:
            os.ftruncate(watchdog_lock, 0)
            os.pwrite(watchdog_lock, f"{GIVEN_UP}{given_up[0]}".encode(), 0)
            break
        time.sleep(POLL_SECONDS)
    for server in servers:
        server.stop()
    if not any(location.sockets.iterdir()):
        location.sockets.rmdir()
    # The order matters: a process that waits for the users' lock must not find the lock of this watchdog held.
    os.close(watchdog_lock)
    os.close(users)


if __name__ == "__main__":
    main(*sys.argv[1:])
