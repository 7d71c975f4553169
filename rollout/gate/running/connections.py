"""Database connections of the threads in which candidates and probes run."""

from collections.abc import Iterable
from contextlib import suppress

from django.db import connections


def open_aliases() -> set[str]:
    """Return the databases to which this thread has an open connection."""
    return {each.alias for each in connections.all(initialized_only=True) if each.connection is not None}


def prepare(aliases: Iterable[str]) -> None:
    """Open a connection to each of these databases, and check those that are open, as Django does before a request.

    A database that does not answer is left to the code that needs it.
    """
    settle()
    for alias in aliases:
        with suppress(Exception):  # psycopg's, Django's, or a test runner's that allows no database
            connections[alias].close_if_health_check_failed()
            connections[alias].ensure_connection()


def settle() -> None:
    """Close the connections that are unusable or older than CONN_MAX_AGE, as Django does after a request."""
    for each in connections.all(initialized_only=True):
        with suppress(Exception):  # the next use opens another one
            each.close_if_unusable_or_obsolete()
