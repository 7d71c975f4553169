"""Where a checkout's embedded servers keep their data, sockets and binaries, and as whom they run."""

import hashlib
import os
import pwd
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

VAR = Path(__file__).resolve().parents[2] / "var"
SYSTEM_HOME = Path("/var/lib/slipway")


class EmbeddedError(Exception):
    """The embedded servers cannot be used: a problem and its remedy, in one line."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")


@dataclass(frozen=True, slots=True)
class Place:
    var: Path  # the checkout's: locks and logs
    home: Path  # data and copied binaries
    sockets: Path  # mode 0700, and short: a socket's address holds 107 bytes
    user: str | None  # None: as whoever starts them; PostgreSQL refuses to run as root

    @property
    def uid(self) -> int:
        return pwd.getpwnam(self.user).pw_uid if self.user else os.geteuid()

    @property
    def as_user(self) -> dict[str, Any]:
        """Arguments for subprocess: the user and its group alone, and nothing of the starter's environment."""
        env = {"PATH": os.defpath, "LANG": "C.UTF-8"}
        if self.user is None:
            return {"cwd": "/", "env": env}
        entry = pwd.getpwnam(self.user)
        return {"cwd": "/", "env": env, "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def log(self, server: str) -> Path:
        return self.var / f"{server}.log"

    def open_log(self, server: str) -> BinaryIO:
        """To add to; private, since servers log what they were asked."""
        return os.fdopen(os.open(self.log(server), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")

    def own(self, folder: Path) -> None:
        """Make the folder, private to the servers' user. Refuses one that somebody else made."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.user and folder.lstat().st_uid == 0:
                os.chown(folder, self.uid, -1)
        except OSError as error:
            raise EmbeddedError(f"cannot make {folder} ({error.strerror})", "make it writable") from error
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid or stat.S_IMODE(found.st_mode) != 0o700:
            raise EmbeddedError(f"{folder} is not a private folder of ours", "remove it")


def place_of(var: Path = VAR) -> Place:
    """The place of this checkout; two checkouts never share one, and a copy of a checkout has its own."""
    var = var.resolve()
    name, made_at = _identity(var)
    key = hashlib.blake2b(f"{name} {var}".encode(), digest_size=6).hexdigest()
    sockets = Path(f"/tmp/slipway-{key}")  # noqa: S108 - made 0700 with an unguessable name, and checked
    if os.geteuid() != 0:
        return Place(var, var / "data", sockets, None)
    if made_at != str(var):
        problem = f"this checkout was copied or moved from {made_at}, its databases lie in {SYSTEM_HOME}"
        raise EmbeddedError(problem, f"move it back, or start empty: rm -r {var}")
    return Place(var, SYSTEM_HOME / key, sockets, "nobody")


def _identity(var: Path) -> tuple[str, str]:
    """A random name and the path it was made at; ten processes at once agree on one."""
    file = var / "id"
    try:
        var.mkdir(exist_ok=True)
        if not file.exists():
            draft = var / f"id.{os.getpid()}.{secrets.token_hex(4)}"
            draft.write_text(f"{secrets.token_hex(8)} {var}")
            with draft.open("rb") as written:
                os.fsync(written.fileno())  # as root it is the one way to the data
            try:
                os.link(draft, file)  # unlike rename it never replaces another's
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        name, made_at = file.read_text().split(" ", 1)
    except OSError as error:
        raise EmbeddedError(f"cannot write to {var} ({error.strerror})", "make it writable") from error
    except ValueError:
        raise EmbeddedError(f"{file} is damaged", f"start empty: rm -r {var}") from None
    return name, made_at
