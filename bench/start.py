"""Measure the time until the admin is served: a first `make run` on a fresh checkout, and a second one.

    .venv/bin/python bench/start.py

The first includes the installation with its downloads, because the caches are empty. It is also measured alone.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3


@contextmanager
def checkout() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "slipway"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
        yield copy
        subprocess.run(["make", "-C", str(copy), "clean"], check=True)


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "PATH"}
    return kept | {"HOME": str(home), "WEB_PORT": "8765"}


def run(folder: Path) -> float:
    """Return the seconds from `make run` to the ready site, and stop it."""
    started = time.monotonic()
    process = subprocess.Popen(
        ["make", "run"], cwd=folder, env=environment(folder.parent), stdout=subprocess.PIPE, stderr=2, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Slipway is ready"):
            break
    else:
        sys.exit("cannot measure the start: make run ended before the site was ready; run: make run")
    seconds = time.monotonic() - started
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    return seconds


def install(folder: Path) -> float:
    """Return the seconds of the installation alone, with its downloads."""
    started = time.monotonic()
    subprocess.run(["make", ".venv/run.done"], cwd=folder, env=environment(folder.parent), check=True, stdout=2)
    return time.monotonic() - started


def main() -> None:
    first_runs, installations, second_runs = [], [], []
    for _ in range(ROUNDS):
        with checkout() as folder:
            installations.append(install(folder))
            first_runs.append(installations[-1] + run(folder))
            second_runs.append(run(folder))
    rows = (("first run", first_runs), ("of it, to install", installations), ("second run", second_runs))
    for name, seconds in rows:
        print(f"{name:<20} {statistics.median(seconds):6.1f} s   ({', '.join(f'{value:.1f}' for value in seconds)})")


if __name__ == "__main__":
    main()
