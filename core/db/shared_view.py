"""Transactions of several connections that see one snapshot: one transaction exports it, the others adopt it.

Source: PostgreSQL 18 documentation, section 9.28.5, "Snapshot Synchronization Functions".
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from core.db import sql


class SharedView(NamedTuple):
    """The moment of an exported snapshot by the database's clock, and its name for other connections."""

    moment: datetime
    name: str


def take_view(cursor: Any) -> None:
    """Let all statements of this transaction see one snapshot, read-only. Call it before any other statement."""
    cursor.execute(sql.ONE_VIEW)


def export_view(cursor: Any, setup: Sequence[str] = ()) -> SharedView:
    """Take one view and export it. It lives as long as the transaction.

    setup: statements to run before the snapshot is taken, such as locks: then no table is altered between the two.
    """
    take_view(cursor)
    for statement in setup:
        cursor.execute(statement)
    cursor.execute(sql.EXPORT_VIEW)
    return SharedView(*cursor.fetchone())


def adopt_view(cursor: Any, name: str) -> None:
    """Let this transaction see the exported snapshot of that name. Call it before any other statement."""
    take_view(cursor)
    cursor.execute(sql.ADOPT_VIEW.format(name=name))
