"""The start of every process: the embedded servers, the settings, the apps. If that fails, it ends with one line."""

import gc
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.embedded import lifecycle
from config.embedded.location import EmbeddedError
from config.environment.env_file import load_env_file
from config.environment.team_apps import TeamApp
from core.errors import SlipwayError, first_line
from core.redaction import redact


def start() -> None:
    """Start the embedded servers if they are needed, and load the settings and the apps. End the process if that fails.

    The apps are loaded while the servers start.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    gc.set_threshold(50_000, 20, 50)  # with Python's own 700, collections take a sixth of the start's time
    try:
        load_env_file()
        wait_for_servers = lifecycle.begin()
        if settings.TEAM_APPS:  # reading any setting loads all of them
            _require_usable(settings.TEAM_APPS)
        with faults_named():
            django.setup()
        wait_for_servers()
    except (EmbeddedError, ImproperlyConfigured) as error:
        sys.exit(f"slipway: {error}")
    except OSError as error:
        problem = f"cannot use {error.filename or settings.BASE_DIR}: {error.strerror}"
        sys.exit(f"slipway: {problem}; make it readable and writable, and check the free space: df -h")


@contextmanager
def faults_named() -> Iterator[None]:
    """End the process with one line if an error in the block comes from an app of a team's package."""
    try:
        yield
    except Exception as error:
        for app in settings.TEAM_APPS:
            places = list(_places(error, AppConfig.create(app.entry)))
            if places:
                problem = f"cannot load the app {app.entry}, named in {app.source}: {_cause(error)} ({places[-1]})"
                sys.exit(f"slipway: {problem}; correct it, or {app.removal}")
        raise


def _require_usable(team_apps: list[TeamApp]) -> None:
    """Raise ImproperlyConfigured for an app that cannot be imported, is there already, or whose label is taken."""
    others = [AppConfig.create(entry) for entry in settings.INSTALLED_APPS[: -len(team_apps)]]
    entries = {config.name: config.name for config in others}
    names = {config.label: config.name for config in others}
    for app in team_apps:
        named = f"the app {app.entry}, named in {app.source}"
        try:
            config = AppConfig.create(app.entry)
        except Exception as error:
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
