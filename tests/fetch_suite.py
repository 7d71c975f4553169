"""Fetch Django's own cache tests in the locked version, checked by the lock's hash: python -m tests.fetch_suite.

Wheels do not hold the tests, so the source distribution is downloaded, and its tests go into the virtual environment.
"""

import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITE = ROOT / ".venv" / "django-suite"


def main() -> None:
    locked = re.search(r"^django==(?:.*\\\n)*.*--hash.*$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked is not None
    with tempfile.TemporaryDirectory() as folder:
        pin = Path(folder, "pin.txt")
        pin.write_text(locked.group().rstrip("\\ \n") + "\n")
        # Without build isolation pip downloads only the archive with this hash.
        options = ["--no-deps", "--no-binary", "django", "--no-build-isolation", "--require-hashes", "--dest", folder]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *options, "-r", str(pin)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            cause = (done.stderr.strip().splitlines() or ["no message"])[-1]
            sys.exit(f"slipway: cannot fetch Django's cache tests: {cause}; check that pip reaches its index")
        [archive] = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as files:
            for member in files:
                parts = Path(member.name).parts
                if parts[1:3] == ("tests", "cache"):
                    member.name = str(Path(*parts[2:]))
                    files.extract(member, SUITE, filter="data")


if __name__ == "__main__":
    main()
