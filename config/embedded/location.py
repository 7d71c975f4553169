"""The folders of an installation's embedded servers: data, sockets, logs and binaries, and the user they run as."""

import hashlib
import os
import pwd
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from config.environment.home import HOME

VAR = HOME / "var"
GIVEN_UP = "gave up: "  # in watchdog.lock, before the name of a server that died as soon as it started
SYSTEM_HOME = Path("/var/lib/slipway")


class EmbeddedError(Exception):
    """The embedded servers cannot be used: a problem and its remedy, in one line."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")


@dataclass(frozen=True, slots=True)
class Location:
    """The folders and the user of one checkout's servers.

    var: the checkout's own folder, for locks and logs.
    home: the data and the copied binaries.
    sockets: mode 0700, and short: the address of a socket holds 107 bytes.
    user: None if the servers run as the user that starts them; PostgreSQL refuses to run as root.
    """

    var: Path
    home: Path
    sockets: Path
    user: str | None

    @property
    def uid(self) -> int:
        return pwd.getpwnam(self.user).pw_uid if self.user else os.geteuid()

    @property
    def as_user(self) -> dict[str, Any]:
        """The arguments for subprocess: the servers' user, only its own group, and none of the starter's environment.

        They are typed as Any because subprocess takes each of them with a type of its own.
        """
        env = {"PATH": os.defpath, "LANG": "C.UTF-8"}
        if self.user is None:
            return {"cwd": "/", "env": env}
        entry = pwd.getpwnam(self.user)
        return {"cwd": "/", "env": env, "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def log(self, server: str) -> Path:
        return self.var / f"{server}.log"

    def open_log(self, server: str) -> BinaryIO:
        """Open the server's log for appending. The file is private, because servers log the statements they run."""
        return os.fdopen(os.open(self.log(server), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")

    def make_private(self, folder: Path) -> None:
        """Make the folder, private to the servers' user.

        Raises EmbeddedError if it cannot be made, or if it exists and is not a private folder of that user.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.user and folder.lstat().st_uid == 0:
                os.chown(folder, self.uid, -1)
        except OSError as error:
            raise EmbeddedError(
                f"cannot make {folder}: {error.strerror}", f"make {folder.parent} writable, or remove {folder}"
            ) from error
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != self.uid or stat.S_IMODE(state.st_mode) != 0o700:
            raise EmbeddedError(
                f"cannot use {folder}: it is not a private folder of the servers' user", f"run: rm -r {folder}"
            )


def location_of(var: Path = VAR) -> Location:
    """Return the location that belongs to the folder `var`.

    Two checkouts never share one, and a copy of a checkout gets its own. Raises EmbeddedError if `var` cannot be
    written, or, as root, if the checkout was copied or moved: its data is not inside the checkout then.
    """
    var = var.resolve()
    name, made_at = _identity(var)
    key = hashlib.blake2b(f"{name} {var}".encode(), digest_size=6).hexdigest()
    sockets = Path(f"/tmp/slipway-{key}")  # noqa: S108 - made 0700 with an unguessable name, and checked
    if os.geteuid() != 0:
        return Location(var, var / "data", sockets, None)
    if made_at != str(var):
        problem = f"cannot use {var}: it was copied or moved from {made_at}, and its databases are in {SYSTEM_HOME}"
        raise EmbeddedError(problem, f"move it back, or start with empty databases: rm -r {var}")
    return Location(var, SYSTEM_HOME / key, sockets, "nobody")


def _identity(var: Path) -> tuple[str, str]:
    """Return the random name of the folder and the path that it was made at.

    Processes that start at the same time agree on one name.
    """
    file = var / "id"
    try:
        var.mkdir(exist_ok=True)
        if not file.exists():
            draft = var / f"id.{os.getpid()}.{secrets.token_hex(4)}"
            draft.write_text(f"{secrets.token_hex(8)} {var}")
            with draft.open("rb") as written:
                os.fsync(written.fileno())  # as root, this name is the only way to find the data
            try:
                os.link(draft, file)  # unlike rename, link never replaces the file of another process
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        name, made_at = file.read_text().split(" ", 1)
    except OSError as error:
        raise EmbeddedError(f"cannot write to {var}: {error.strerror}", f"make {var} writable") from error
    except ValueError:
        raise EmbeddedError(f"cannot read {file}: it is damaged", f"start with empty databases: rm -r {var}") from None
    return name, made_at
