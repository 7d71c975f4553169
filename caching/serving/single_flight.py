"""A single computation per name at a time: the other threads of the process share its result.

Source of the name: golang.org/x/sync/singleflight.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """The computations that run in this process, by name."""

    def __init__(self) -> None:
        self._under_way: dict[str, Future[T]] = {}
        self._lock = Lock()

    def share(self, name: str, compute: Callable[[], T], *, wait_seconds: float, otherwise: Callable[[], T]) -> T:
        """Compute, or wait for the thread that computes under this name, and return or raise what it does.

        otherwise: called for the result if that thread takes longer than `wait_seconds`.
        """
        future, is_first = self._join(name)
        if is_first:
            return self._compute(name, future, compute)
        try:
            return future.result(wait_seconds)
        except TimeoutError:
            return otherwise()

    def run_if_first(self, name: str, compute: Callable[[], T]) -> T | None:
        """Compute and return the result. If another thread computes under this name, return None at once."""
        future, is_first = self._join(name)
        return self._compute(name, future, compute) if is_first else None

    def _join(self, name: str) -> "tuple[Future[T], bool]":
        """Return the future of the name, and whether this thread is the one that has to compute."""
        with self._lock:
            future = self._under_way.get(name)
            if future is not None:
                return future, False
            future = self._under_way[name] = Future()
            return future, True

    def _compute(self, name: str, future: "Future[T]", compute: Callable[[], T]) -> T:
        try:
            result = compute()
            future.set_result(result)
            return result
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                self._under_way.pop(name, None)
