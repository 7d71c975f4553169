"""Checks: functions that look and say what they found. Apps register theirs; the validation app runs them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from core.choices import StyledChoices
from core.errors import SlipwayError

OFFENDING_AT_MOST = 20
ID_AT_MOST, CATEGORY_AT_MOST = 64, 32  # characters


class Result(StyledChoices):
    """In order of severity."""

    PASS = "PASS", "✓", "green", "Pass"
    SKIP = "SKIP", "–", "gray", "Skipped"
    WARN = "WARN", "!", "orange", "Warning"
    FAIL = "FAIL", "✕", "red", "Fail"
    ERROR = "ERROR", "?", "red", "Error"


class Suite(StyledChoices):
    EXIT = "exit", "⚑", "blue", "Exit criteria"
    EXTENDED = "extended", "⊕", "blue", "Extended"
    POST_ROLLBACK = "post-rollback", "↩", "blue", "Post-rollback"


@dataclass(frozen=True, slots=True)
class View:
    """The database as it was when the run began, read-only, on a connection of the check's own: the ORM uses it too.

    is_full: look at everything, however long that takes. since: of the last full run, which saw what is older; None:
    there was none.
    """

    connection: BaseDatabaseWrapper
    is_full: bool = False
    since: datetime | None = None

    def rows(self, statement: str, params: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, params)
            return list(cursor.fetchall())

    def value(self, statement: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Of the first column of the first row."""
        return self.rows(statement, params)[0][0]


@dataclass(frozen=True, slots=True)
class Finding:
    """value and limit as people read them. offending: rows by name, as many as are shown; of how many, offending_count
    says. links: of those rows, their page in the admin where they have one.
    """

    result: Result
    value: str
    limit: str
    message: str
    remedy: str = ""
    offending: tuple[str, ...] = ()
    offending_count: int = 0
    links: dict[str, str] = field(default_factory=dict)


class Skipped(SlipwayError):
    """Skipped(why, remedy): there is nothing to look at."""


def judged(
    is_good: bool,
    value: object,
    limit: object,
    message: str,
    *,
    remedy: str = "",
    offending: Sequence[str] = (),
    count: int | None = None,
    links: dict[str, str] | None = None,
    otherwise: Result = Result.FAIL,
) -> Finding:
    """PASS, or `otherwise` with a remedy and the rows to blame. count: of those, where `offending` holds only some."""
    if is_good:
        return Finding(Result.PASS, str(value), str(limit), message)
    shown = tuple(offending[:OFFENDING_AT_MOST])
    found = {name: address for name, address in (links or {}).items() if name in shown}
    true_count = len(offending) if count is None else count
    return Finding(otherwise, str(value), str(limit), message, remedy, shown, true_count, found)


Look_at = Callable[[View], Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """seconds: what it may take. is_sampled: only a full run looks at everything, so what that found stands until the
    next one. when: whether there is anything that it is for; where not, it is left out.
    """

    id: str
    category: str
    suite: Suite
    run: Look_at
    seconds: float = 10.0
    is_sampled: bool = False
    when: Callable[[], bool] = lambda: True


_checks: dict[str, Check] = {}


def check(
    id: str,
    category: str,
    suite: Suite = Suite.EXIT,
    *,
    seconds: float = 10.0,
    is_sampled: bool = False,
    when: Callable[[], bool] = lambda: True,
) -> Callable[[Look_at], Look_at]:
    """Register a function as a check. Raises ValueError for an id that is taken, or names that are too long."""

    def register(run: Look_at) -> Look_at:
        if id in _checks:
            raise ValueError(f"there is a check {id} already")
        if len(id) > ID_AT_MOST or len(category) > CATEGORY_AT_MOST:
            raise ValueError(f"{id} or {category} is longer than {ID_AT_MOST} or {CATEGORY_AT_MOST} characters")
        _checks[id] = Check(id, category, suite, run, seconds, is_sampled, when)
        return run

    return register


def checks(suite: Suite | None = None, category: str | None = None) -> list[Check]:
    """Those registered, in their order."""
    return [each for each in _checks.values() if suite in (None, each.suite) and category in (None, each.category)]


def categories(suite: Suite | None = None) -> list[str]:
    return list(dict.fromkeys(each.category for each in checks(suite)))
