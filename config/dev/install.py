"""Make .venv from the lock files: `python3 config/dev/install.py requirements.txt ...`.

Any Python 3 may run this file, so it keeps to old syntax: a wrong version gets a message, not a SyntaxError.
"""

import fcntl
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
WANTED = (3, 11)


def stop(problem: str, remedy: str) -> None:
    sys.exit("slipway: %s; %s" % (problem, remedy))


def run_quietly(command: "list[str]", problem: str, remedy: str) -> None:
    """Run the command without printing its output. If it fails, store the output in a file and print one line."""
    try:
        completed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except KeyboardInterrupt:
        sys.exit(130)
    if completed.returncode:
        log = os.path.join(VENV, "install.log")
        with open(log, "wb") as file:
            file.write(completed.stdout)
        stop(problem, "%s (details: %s)" % (remedy, os.path.relpath(log, ROOT)))


def main(requirements: "list[str]") -> None:
    if sys.version_info[:2] != WANTED:
        version = "%d.%d" % sys.version_info[:2]
        stop(
            "Python must be 3.11 (got %s)" % version,
            "install Python 3.11 and name it: make PYTHON=/path/to/python3.11 run",
        )
    try:
        os.makedirs(VENV, exist_ok=True)
    except OSError as error:
        stop("cannot write to %s: %s" % (ROOT, error.strerror), "use a folder that you may write to")
    if not os.access(VENV, os.W_OK):
        stop("cannot write to %s" % VENV, "remove it, or use a folder that you may write to")
    lock = open(os.path.join(VENV, "install.lock"), "w")  # noqa: SIM115 - held until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except KeyboardInterrupt:
        sys.exit(130)
    run_quietly(
        [sys.executable, "-m", "venv", VENV],
        "cannot make a virtual environment",
        "install Python's venv module (Debian: apt install python3.11-venv) and check the free space (df -h .)",
    )
    print("slipway: installing the locked dependencies (once, about half a minute) ...")
    sys.stdout.flush()
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--retries", "1", "--require-hashes"]
    for file in requirements:
        install += ["-r", os.path.join(ROOT, file)]
    run_quietly(
        install,
        "cannot install the dependencies",
        "check that pip reaches its package index, the proxy settings and the free space (df -h .), then run it again",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
