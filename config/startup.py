"""The start of every process: the embedded servers, the settings, the apps. If that fails, it ends with one line."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import django
import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import logs
from config.embedded import lifecycle
from config.embedded.location import EmbeddedError
from config.environment.env_file import load_env_file
from config.environment.team_apps import faults_named, require_usable
from config.environment.variables import Environment
from core.tracing import span

UNTRACED = {"stub_feed", "shell", "dbshell", "runserver"}  # commands


def start(*, is_service: bool = False) -> None:
    """Start the embedded servers if they are needed, and load the settings and the apps. End the process if that fails.

    The apps are loaded while the servers start.

    is_service: the process is a service, which writes log entries only. A command prints to a person.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    gc.set_threshold(50_000, 20, 50)  # rarer, because they take a sixth of the start's time
    if is_service:
        logs.serve()
    with ending_on_faults(is_service=is_service):
        load_env_file()
        Environment().str("SECRET_KEY")  # in a folder without settings, no servers are started
        wait_for_servers = lifecycle.begin()
        require_usable(settings.TEAM_APPS)  # reading any setting loads all of them
        with faults_named(settings.TEAM_APPS):
            django.setup()
        wait_for_servers()


@contextmanager
def ending_on_faults(*, is_service: bool) -> Iterator[None]:
    """End the process with one line if a setting, a server or a file cannot be used in the block."""
    try:
        yield
    except (EmbeddedError, ImproperlyConfigured) as error:
        fault = str(error)
    except OSError as error:
        fault = f"cannot use {error.filename or 'a file'}: {error.strerror or error}; check its rights and df -h"
    else:
        return
    if is_service and not logs.is_terminal():
        structlog.get_logger("slipway").critical(f"cannot start: {fault}")
        sys.exit(1)
    sys.exit(f"slipway: {fault}")


def trace(role: str) -> None:
    """Begin to trace this process if the settings ask for it. A process that forks others calls it in each of them.

    role: web, worker, beat or command.
    """
    if settings.IS_TRACING:
        from config.tracing import setup  # a process that does not trace does not need the packages

        setup.begin(role)


def traced_command(arguments: list[str]) -> AbstractContextManager[object]:
    """Return a context in which a command runs. Its span has the command's name.

    A command that polls without end has no span of its own, because such a span would be exported only at its end.

    arguments: those of manage.py.
    """
    name = next(iter(arguments), "help")
    if name in UNTRACED:
        return nullcontext()
    trace("command")
    if name == "poll_providers" and "--once" not in arguments:
        return nullcontext()
    return span(f"manage.py {name}", {})
