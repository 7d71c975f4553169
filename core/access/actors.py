"""Actors: a Django user, or a machine with a name."""

import getpass
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import Refused


class Actor(Protocol):
    """The user or machine in whose name an operation runs."""

    def get_username(self) -> str: ...
    def has_perm(self, perm: str, obj: Any = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """An actor that has every permission. The audit records its name."""

    name: str

    def get_username(self) -> str:
        return self.name

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return True


SYSTEM = Machine("system")


def shell_actor() -> Machine:
    """Return the user who runs a command. The shell decided already that this user may run it."""
    try:
        return Machine(f"shell:{getpass.getuser()}")
    except (KeyError, OSError):  # a user id without a name
        return Machine("shell")


def require(actor: Actor, permission: str) -> None:
    """Raise Refused if the actor lacks the permission, which is written as `app.codename`."""
    if not actor.has_perm(permission):
        raise Refused(
            f"{actor.get_username()} lacks the permission {permission}", "ask an admin for a group that has it"
        )
