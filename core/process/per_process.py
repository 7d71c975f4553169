"""State that each process makes for itself when it first uses it."""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value that is made once per process, on the first call, and made again in each fork.

    A fork copies memory but no threads: a copied object would wait for threads that do not exist, send what its parent
    already sends, and share its parent's sockets. Calling the holder takes a lock only until the value exists.

    make: returns the value, which is never None. It runs under a lock, so that several threads share one value.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._value: T | None = None
        self._lock = threading.RLock()
        os.register_at_fork(after_in_child=self._forget_parent)

    def __call__(self) -> T:
        """Return this process's value."""
        value = self._value
        if value is not None:
            return value
        with self._lock:
            if self._value is None:
                self._value = self._make()
            return self._value

    def current(self) -> T | None:
        """Return the value if this process has made it, else None."""
        return self._value

    def reset(self, value: T | None = None) -> None:
        """Hold `value` from now on. If it is None, the next call makes another one.

        The caller stops the threads of the value that was held.
        """
        with self._lock:
            self._value = value

    def _forget_parent(self) -> None:
        self._value, self._lock = None, threading.RLock()
