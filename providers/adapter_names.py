"""The names of the installed adapters: Slipway's own, and those of other distributions. No adapter is imported here.

A distribution adds an adapter by an entry point of the group `slipway.adapters`: its name is the adapter's name, its
value is the place of an `Upstream` (providers/adapters/__init__.py).
"""

import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from core.errors import SlipwayError

GROUP = "slipway.adapters"
SLIPWAY = "Slipway"
# A checkout is not an installed distribution, so it has no entry points of its own.
BUILT_IN = [
    EntryPoint(name, f"providers.adapters.{name}:UPSTREAM", GROUP) for name in ("odds_api", "prizepicks", "sportradar")
]
NAME_AT_MOST = 16  # characters of the column
STUB = "stub"  # the source of synthetic events, which no real event may share


class AdapterUnusable(SlipwayError):
    """The adapter is not installed, or it cannot be used."""


def find_entry_point(name: str) -> EntryPoint:
    """Return the entry point of the adapter. Raises AdapterUnusable if there is none, or if it cannot be used."""
    points = all_entry_points().get(name, [])
    if not points:
        raise AdapterUnusable(
            f"cannot use the adapter {name}: it is not installed",
            "install the package that has it and restart the workers, or give the provider another adapter",
        )
    if points[0] in BUILT_IN:
        return points[0]
    owners = " and ".join(map(owner, points))
    if len(points) > 1:
        raise AdapterUnusable(f"cannot use the adapter {name}: {owners} have one of that name", "uninstall one of them")
    if name == STUB or not re.fullmatch(rf"[a-z0-9_]{{1,{NAME_AT_MOST}}}", name):
        raise AdapterUnusable(
            f"cannot use the adapter {name} of {owners}: its name must not be {STUB}, "
            f"and must have 1 to {NAME_AT_MOST} of the characters a to z, 0 to 9 and _",
            f"rename it in the entry points of {owners}",
        )
    return points[0]


def adapter_names() -> list[str]:
    """Return the names of the adapters that a provider can have, sorted."""
    return sorted(name for name in all_entry_points() if _is_usable(name))


def _is_usable(name: str) -> bool:
    try:
        find_entry_point(name)
    except AdapterUnusable:
        return False
    return True


@cache
def all_entry_points() -> dict[str, list[EntryPoint]]:
    """Return the entry points by the name of their adapter, Slipway's own first."""
    points: dict[str, list[EntryPoint]] = {}
    for point in [*BUILT_IN, *sorted(entry_points(group=GROUP), key=owner)]:
        points.setdefault(point.name, []).append(point)
    return points


def owner(point: EntryPoint) -> str:
    """Return the name of the distribution that has the adapter."""
    return point.dist.name if point.dist else SLIPWAY
