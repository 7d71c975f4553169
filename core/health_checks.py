"""The registry of checks: functions that look at the installation and return a finding.

Checks register here; the validation app runs them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from core.choices import StyledChoices
from core.errors import SlipwayError, Taken

OFFENDING_AT_MOST = 20
ID_AT_MOST, CATEGORY_AT_MOST = 64, 32  # characters


class Result(StyledChoices):
    """The result of a check, in order of severity."""

    PASS = "PASS", "✓", "green", "Pass"
    SKIP = "SKIP", "–", "gray", "Skipped"
    WARN = "WARN", "!", "orange", "Warning"
    FAIL = "FAIL", "✕", "red", "Fail"
    ERROR = "ERROR", "?", "red", "Error"


class Suite(StyledChoices):
    """The suites of checks. Each check belongs to one."""

    EXIT = "exit", "⚑", "blue", "Exit criteria"
    EXTENDED = "extended", "⊕", "blue", "Extended"
    POST_ROLLBACK = "post-rollback", "↩", "blue", "Post-rollback"


@dataclass(frozen=True, slots=True)
class View:
    """A check's view of the database, as it was when the run began.

    The view is read-only, and its connection belongs to this check alone. ORM queries of the check use the connection
    too.

    is_full: the check looks at everything, however long that takes.
    since: the start of the last full run, which covered everything older; None if no full run exists.
    """

    connection: BaseDatabaseWrapper
    is_full: bool = False
    since: datetime | None = None

    def rows(self, statement: str, params: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of the statement."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, params)
            return list(cursor.fetchall())

    def value(self, statement: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Return the first column of the statement's first row."""
        return self.rows(statement, params)[0][0]


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of a check.

    value, limit: the measured value and its limit, as text for an operator.
    offending: the names of the first offending rows; `offending_count` counts all of them.
    links: the admin pages of the named rows that have one, by name.
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
    """Raised as Skipped(reason, remedy) by a check that has nothing to look at."""


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
    """Return the finding of a check that measured a value: a PASS if `is_good`, else one with the result `otherwise`.

    A PASS names neither a remedy nor offending rows.

    otherwise: the result if `is_good` is false.
    offending: the names of the offending rows; the finding keeps the first OFFENDING_AT_MOST (20).
    count: the number of offending rows, if `offending` names only some of them.
    """
    if is_good:
        return Finding(Result.PASS, str(value), str(limit), message)
    named = tuple(offending[:OFFENDING_AT_MOST])
    links_of_named = {name: address for name, address in (links or {}).items() if name in named}
    true_count = len(offending) if count is None else count
    return Finding(otherwise, str(value), str(limit), message, remedy, named, true_count, links_of_named)


CheckFunction = Callable[[View], Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check.

    seconds: the time that it may take.
    is_sampled: only a full run checks every row; a fault that it found stays reported until the next full run.
    when: returns whether the installation has what the check looks at; if not, the check is left out.
    """

    id: str
    category: str
    suite: Suite
    run: CheckFunction
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
) -> Callable[[CheckFunction], CheckFunction]:
    """Return a decorator that registers a function as a check; `Check` describes the parameters.

    The decorator raises Taken if the id is taken. It raises ValueError if the id is longer than ID_AT_MOST (64)
    characters, or if the category is longer than CATEGORY_AT_MOST (32) characters.
    """

    def register(run: CheckFunction) -> CheckFunction:
        if id in _checks:
            owner = _checks[id].run.__module__
            raise Taken(f"cannot register the check {id} of {run.__module__}: {owner} has this id", "choose another id")
        if len(id) > ID_AT_MOST:
            raise ValueError(f"a check's id must have at most {ID_AT_MOST} characters (got {len(id)}: {id})")
        if len(category) > CATEGORY_AT_MOST:
            raise ValueError(
                f"a check's category must have at most {CATEGORY_AT_MOST} characters (got {len(category)}: {category})"
            )
        _checks[id] = Check(id, category, suite, run, seconds, is_sampled, when)
        return run

    return register


def unregister(id: str) -> None:
    """Remove the check from the registry. Raises KeyError if it is not registered."""
    del _checks[id]


@contextmanager
def empty_registry() -> Iterator[None]:
    """Empty the registry within the block, so that a test sees the checks that it registers and no others."""
    registered = dict(_checks)
    _checks.clear()
    try:
        yield
    finally:
        _checks.clear()
        _checks.update(registered)


def checks(suite: Suite | None = None, category: str | None = None) -> list[Check]:
    """Return the registered checks of the suite and category, or of all if None, in the order of registration."""
    return [each for each in _checks.values() if suite in (None, each.suite) and category in (None, each.category)]


def categories(suite: Suite | None = None) -> list[str]:
    """Return the categories of the suite's checks, or of all checks if None, in the order of registration."""
    return list(dict.fromkeys(each.category for each in checks(suite)))
