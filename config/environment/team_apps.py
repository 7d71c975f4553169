"""The apps of a team's own packages, which SLIPWAY_APPS and the entry points of distributions name."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from django.core.exceptions import ImproperlyConfigured

from config.environment.variables import malformed

APPS_GROUP = "slipway.apps"  # the group of entry points by which a distribution names its apps


@dataclass(frozen=True, slots=True)
class TeamApp:
    """An app of a team's own package.

    entry: its entry of INSTALLED_APPS, the dotted name of the app or of its AppConfig.
    source: where it is named.
    removal: how to take it out, as an instruction.
    """

    entry: str
    source: str
    removal: str


def find_team_apps(var: str, values: Sequence[str]) -> list[TeamApp]:
    """Return the apps that the variable and the entry points of distributions name, sorted. An app of both is one app.

    Raises ImproperlyConfigured if the variable, or more than one distribution, names an app twice.
    """
    named = [value.strip() for value in values]
    for entry in named:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", entry):
            raise malformed(var, "dotted names of apps, comma separated")
        if named.count(entry) > 1:
            raise ImproperlyConfigured(f"cannot use the app {entry}: {var} names it twice; name it once")
    distributions: dict[str, set[str]] = {}
    for point in entry_points(group=APPS_GROUP):
        name = point.dist.name if point.dist else "unknown"
        distributions.setdefault(point.value.replace(":", "."), set()).add(name)
    return [
        _team_app(var, entry, entry in named, distributions.get(entry, ()))
        for entry in sorted({*named, *distributions})
    ]


def _team_app(var: str, entry: str, is_in_var: bool, distributions: Collection[str]) -> TeamApp:
    if len(distributions) > 1:
        names = " and ".join(sorted(distributions))
        raise ImproperlyConfigured(
            f"cannot use the app {entry}: the distributions {names} name it; uninstall one of them"
        )
    sources = [var] if is_in_var else []
    removals = [f"remove it from {var}"] if is_in_var else []
    for name in distributions:
        sources.append(f"the distribution {name}")
        removals.append(f"uninstall {name}")
    return TeamApp(entry, " and ".join(sources), " and ".join(removals))
