"""Who does something: a Django user, or a machine with a name."""

import getpass
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import Refused


class Actor(Protocol):
    def get_username(self) -> str: ...
    def has_perm(self, perm: str, obj: Any = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """May do all; the audit says which it was."""

    name: str

    def get_username(self) -> str:
        return self.name

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return True


SYSTEM = Machine("system")


def shell() -> Machine:
    """Whoever runs a command: the shell decided already that they may."""
    try:
        return Machine(f"shell:{getpass.getuser()}")
    except (KeyError, OSError):  # a user id without a name
        return Machine("shell")


def require(actor: Actor, permission: str) -> None:
    """Raises Refused when the actor lacks the permission, as `app.codename`."""
    if not actor.has_perm(permission):
        raise Refused(
            f"{actor.get_username()} lacks the permission {permission}", "ask an admin for a group that has it"
        )
