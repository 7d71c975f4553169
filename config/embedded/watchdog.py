"""Parent of the embedded servers: `python -m config.embedded.watchdog VAR SERVER ...`, as `lifecycle` starts it.

Starts the servers, starts one again that died, and stops them when nobody uses them any more.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import FrameType

from config.embedded.location import Place, place_of
from config.embedded.servers import SERVERS
from core.process.lifetime import die_with, open_lock, try_lock

LOOK_SECONDS = 0.2
TOO_YOUNG_TO_DIE_SECONDS = 1.0
STOP_SECONDS = 60.0


class Child:
    def __init__(self, place: Place, name: str) -> None:
        self.place, self.name, self.server = place, name, SERVERS[name]
        self.start()

    def start(self) -> None:
        # The server and each of its own children inherit this lock: while one of them lives, no second server is
        # started on the same data, even if its watchdog was killed.
        lock = open_lock(self.place.var / f"{self.name}.lock")
        while not try_lock(lock):
            time.sleep(LOOK_SECONDS)
        for file in self.server.left_over(self.place):
            file.unlink(missing_ok=True)  # our lock proves its server dead; the pid in it may be a zombie's, or reused
        with self.place.open_log(self.name) as log:
            self.process = subprocess.Popen(
                self.server.command(self.place),
                **self.place.as_user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid(), self.server.stop_signal),
            )
        os.close(lock)
        self.started = time.monotonic()

    def survives(self) -> bool:
        """Start it again if it died; False when it dies as soon as it is started."""
        if self.process.poll() is not None:
            if time.monotonic() - self.started < TOO_YOUNG_TO_DIE_SECONDS:
                return False
            self.start()
        return True

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self.server.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main(var: str, *names: str) -> None:
    place = place_of(Path(var))
    mine = open_lock(place.var / "watchdog.lock")
    fcntl.flock(mine, fcntl.LOCK_EX)  # waits: whoever asks whether a watchdog lives holds it for a moment
    os.ftruncate(mine, 0)
    os.write(mine, " ".join(names).encode())
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    users = open_lock(place.var / "users.lock")
    children = [Child(place, name) for name in names]
    while not stopping and not try_lock(users) and all(child.survives() for child in children):
        time.sleep(LOOK_SECONDS)
    for child in children:
        child.stop()
    if not any(place.sockets.iterdir()):
        place.sockets.rmdir()
    os.close(mine)  # before the users' lock: whoever waits for that one must not find this watchdog still there
    os.close(users)


if __name__ == "__main__":
    main(*sys.argv[1:])
