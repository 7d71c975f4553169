"""The apps of a team's own packages, which SLIPWAY_APPS and the entry points of distributions name."""

import re
import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.environment.variables import malformed
from core.errors import SlipwayError, first_line
from core.redaction import redact

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


@contextmanager
def faults_named(team_apps: list[TeamApp]) -> Iterator[None]:
    """Raise ImproperlyConfigured for an error in the block that comes from one of these apps, naming the app."""
    try:
        yield
    except Exception as error:
        for app in team_apps:
            places = list(_places(error, AppConfig.create(app.entry)))
            if places:
                problem = f"cannot load the app {app.entry}, named in {app.source}: {_cause(error)} ({places[-1]})"
                raise ImproperlyConfigured(f"{problem}; correct it, or {app.removal}") from error
        raise


def require_usable(team_apps: list[TeamApp]) -> None:
    """Raise ImproperlyConfigured for an app that cannot be imported, is there already, or whose label is taken."""
    if not team_apps:
        return
    others = [AppConfig.create(entry) for entry in settings.INSTALLED_APPS[: -len(team_apps)]]
    entries = {config.name: config.name for config in others}
    names = {config.label: config.name for config in others}
    for app in team_apps:
        named = f"the app {app.entry}, named in {app.source}"
        try:
            config = AppConfig.create(app.entry)
        except (Exception, SystemExit) as error:
            raise ImproperlyConfigured(
                f"cannot import {named}: {_cause(error)}; correct the name or the package, or {app.removal}"
            ) from error
        if config.name in entries:
            raise ImproperlyConfigured(
                f"cannot use {named}: it is an app already, by the entry {entries[config.name]}; {app.removal}"
            )
        if config.label in names:
            raise ImproperlyConfigured(
                f"cannot use {named}: its label {config.label} is the label of {names[config.label]}; "
                f"set another label in its AppConfig, or {app.removal}"
            )
        entries[config.name], names[config.label] = app.entry, config.name


def _cause(error: BaseException) -> str:
    """Return the error as one line, with its type unless its text is written for an operator."""
    text = redact(first_line(error, "no reason was given"))
    return text if isinstance(error, SlipwayError) else f"{type(error).__name__}: {text}"


def _places(error: BaseException, app: AppConfig) -> Iterator[str]:
    """Yield the modules and lines of the app that the error came through."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__"))
        if f"{module}.".startswith(f"{app.name}."):
            yield f"{module}, line {line}"
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(app.path):
        yield f"{error.filename}, line {error.lineno}"
