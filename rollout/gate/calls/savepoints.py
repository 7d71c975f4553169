"""Savepoints around an arm, so that a database error of the candidate leaves the caller's transaction usable."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from types import TracebackType

from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

NOTHING: AbstractContextManager[object] = nullcontext()
Exceptions = tuple[type[BaseException], ...]


class SwallowedError(Error):
    """The candidate caught a database error that left its part of the transaction unusable."""


class Savepoints:
    """A savepoint in each transaction that the caller has open.

    keeps: the exceptions after which the changes are kept, as they are without a gate: those of control, and those of
        the candidate that are answers. After another one, and after each error of the database, they are undone.
    is_control: a transaction that control marked to be rolled back stays marked. A candidate that marks it has failed.
    """

    def __init__(self, in_atomic_block: Sequence[BaseDatabaseWrapper], keeps: Exceptions, is_control: bool) -> None:
        self._connections, self._keeps, self._is_control = in_atomic_block, keeps, is_control
        self._stack = ExitStack()

    def __enter__(self) -> None:
        try:
            for each in self._connections:
                self._stack.enter_context(transaction.atomic(using=each.alias))
        except Error:  # the transaction was unusable before, so nothing is left to protect
            with suppress(Error):
                self._stack.close()
            self._connections = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        marked = [each for each in self._connections if each.needs_rollback]
        if error is None:
            if marked and not self._is_control:
                swallowed = SwallowedError("the candidate caught a database error")
                self._stack.__exit__(SwallowedError, swallowed, None)
                raise swallowed
            self._stack.__exit__(None, None, None)
        elif isinstance(error, self._keeps) and not isinstance(error, Error):
            with suppress(Error):  # a transaction that a database error aborted went back to the savepoint
                self._stack.__exit__(None, None, None)
        else:
            self._stack.__exit__(kind, error, traceback)
            return
        for each in marked:
            if each.in_atomic_block:
                transaction.set_rollback(True, using=each.alias)


def savepoints(keeps: Exceptions = (), *, is_control: bool = False) -> AbstractContextManager[object]:
    """Return a context manager with a savepoint in each transaction that this thread has open.

    keeps: the exceptions after which the changes are kept.
    is_control: whether control runs in it.
    """
    in_atomic_block = [
        each for each in connections.all(initialized_only=True) if each.in_atomic_block and not each.needs_rollback
    ]
    return Savepoints(in_atomic_block, keeps, is_control) if in_atomic_block else NOTHING
