"""Make .venv from the lock files: `python3 config/dev/install.py requirements.txt ...`.

Any Python 3 may run this file, so it keeps to old syntax: a wrong version gets a message, not a SyntaxError.
"""

import errno
import fcntl
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOG = os.path.join(VENV, "install.log")
OLDEST = (3, 11)
CHECK_NETWORK = "check the network, the proxy settings and the free space (df -h .), then run it again"


def stop(problem: str, remedy: str) -> None:
    sys.exit("slipway: %s; %s" % (problem, remedy))


def stop_for(error: OSError) -> None:
    """End with the reason why a file of .venv cannot be written."""
    remedy = "free some space (df -h .)" if error.errno == errno.ENOSPC else "make it writable, or remove it"
    stop("cannot write to %s: %s" % (VENV, error.strerror), remedy)


def succeeds(command: "list[str]") -> bool:
    """Run the command and append its output to the log. Return whether it exited with 0."""
    with open(LOG, "ab") as log:
        try:
            return subprocess.call(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) == 0
        except OSError as error:
            log.write(("%s: %s\n" % (command[0], error.strerror)).encode())
            return False


def run(command: "list[str]", problem: str, remedy: str) -> None:
    if not succeeds(command):
        stop(problem, "%s (details: %s)" % (remedy, os.path.relpath(LOG, ROOT)))


def take_lock() -> int:
    """Wait for other installations in this folder. Return the lock, which is held until this process ends."""
    os.makedirs(VENV, exist_ok=True)
    lock = os.open(os.path.join(VENV, "install.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def make_environment() -> None:
    """Make the virtual environment, unless its Python runs. An upgrade of the system can have removed that Python."""
    if succeeds([PYTHON, "-m", "pip", "--version"]):  # without pip, an earlier installation was interrupted
        return
    for name in ("bin", "include", "lib", "lib64", "share", "pyvenv.cfg"):
        path = os.path.join(VENV, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.remove(path)
    run(
        [sys.executable, "-m", "venv", VENV],
        "cannot make a virtual environment",
        "install Python's venv module (Debian: apt install python%d.%d-venv) and check the free space (df -h .)"
        % sys.version_info[:2],
    )


def install(requirements: "list[str]") -> None:
    """Install the lock files with uv, which pip brings; if uv reaches no package index, with pip, which may."""
    install_uv = ["-m", "pip", "install", "--require-hashes", "-r", os.path.join(ROOT, "requirements-install.txt")]
    files = [part for file in requirements for part in ("-r", os.path.join(ROOT, file))]
    if succeeds([PYTHON, "-m", "uv", "--version"]) or succeeds([PYTHON, *install_uv]):
        uv = [PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON, "--system-certs"]
        if succeeds([*uv, "--require-hashes", *files]):
            return
    pip = [PYTHON, "-m", "pip", "install", "--retries", "1", "--require-hashes", *files]
    run(pip, "cannot install the dependencies", CHECK_NETWORK)


def main(requirements: "list[str]") -> None:
    version = "%d.%d" % sys.version_info[:2]
    if sys.version_info[:2] < OLDEST:
        stop(
            "Python must be 3.11 or newer (got %s)" % version,
            "install one (for example with: uv python install 3.13), or name it: make PYTHON=/path/to/python3 run",
        )
    try:
        lock = take_lock()
        open(LOG, "wb").close()
        print("slipway: installing the locked dependencies for Python %s (once) ..." % version)
        sys.stdout.flush()
        make_environment()
        install(requirements)
        os.close(lock)
    except OSError as error:
        stop_for(error)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
