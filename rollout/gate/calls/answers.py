"""The answers of an arm: what it returns or raises, and the functions that cannot be one."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, NamedTuple

from rollout.gate.calls.observations import Metrics

Function = Callable[[], Any]
GENERATOR_FLAGS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
LATE_FLAGS = GENERATOR_FLAGS | inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE
LAZY_TYPES = (CoroutineType, GeneratorType, AsyncGeneratorType)


class Answer(NamedTuple):
    """A value with details, which an arm may return instead of a bare value.

    is_hit: whether a cache had the value; None if no cache was looked up.
    version: the version of the input that the value was made from; only answers of the same version are compared.
    is_counted: False if the call is not to be counted, because there was nothing to answer.
    metrics: figures of this call by name, which the gate's guards can judge: at most 20 bools or finite numbers. A name
        has 1 to 30 letters, digits, hyphens or underscores.
    """

    value: Any
    is_hit: bool | None = None
    version: Any = None
    is_counted: bool = True
    metrics: Metrics | None = None


class Raised(NamedTuple):
    """An exception that is an answer: its type and arguments."""

    kind: type[BaseException]
    args: tuple[Any, ...]

    def __repr__(self) -> str:
        """Return what the report of a mismatch shows."""
        return f"raised {self.kind.__name__}{self.args!r}"


def answer_of(returned: Any) -> Answer:
    """Return what a function returned as an answer. Raises TypeError for a value that has yet to run."""
    answer = returned if issubclass(type(returned), Answer) else Answer(returned)  # isinstance evaluates a lazy object
    if _runs_later(type(answer.value)):  # type: ignore[arg-type]  # mypy takes a type for unhashable
        _close(answer.value)
        raise TypeError(
            f"an arm must return a value (got a {type(answer.value).__name__}); await gate(...).arun(...) runs "
            "asynchronous code, and a generator can be returned as a list"
        )
    return answer


@lru_cache(1024)
def _runs_later(kind: type) -> bool:
    """Return whether values of this type have yet to run."""
    return hasattr(kind, "__await__") or issubclass(kind, LAZY_TYPES)


def is_awaitable(value: Any) -> bool:
    """Return whether the value can be awaited. A lazy object is not evaluated."""
    return hasattr(type(value), "__await__")


def refuse_unguarded(*functions: Function | None, is_async_allowed: bool = False) -> None:
    """Raise TypeError for a function that would only return an object that runs later, past the gate.

    functions: None is skipped.
    is_async_allowed: whether coroutine functions may be given.
    """
    refused = GENERATOR_FLAGS if is_async_allowed else LATE_FLAGS
    for function in functions:
        if function is not None and _flags(function) & refused:
            name = getattr(function, "__qualname__", repr(function))
            if _flags(function) & GENERATOR_FLAGS:
                raise TypeError(f"an arm must not be a generator function (got {name}); return a list instead")
            raise TypeError(f"an arm must not be a coroutine function (got {name}); use await gate(...).arun(...)")


def check_answers(answers: Any) -> None:
    """Raise TypeError unless these are exception classes."""
    classes = answers if isinstance(answers, tuple) else (answers,)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        raise TypeError(f"answers must be a tuple of exception classes (got {answers!r}); for example: (Http404,)")


def _flags(function: Any) -> int:
    """Return the flags of the function's code. A partial, or an object that can be called, is looked through."""
    code = getattr(function, "__code__", None)
    if code is not None:
        return int(code.co_flags)
    while isinstance(function, partial):
        function = function.func
    if inspect.iscoroutinefunction(function):  # marked as one, as asgiref's sync_to_async is
        return inspect.CO_COROUTINE
    call = function if hasattr(function, "__code__") else type(function).__call__
    code = getattr(call, "__code__", None)
    return 0 if code is None else int(code.co_flags)


def _close(lazy: Any) -> None:
    """Close a coroutine or generator, or cancel a future, so that Python does not warn that it never ran."""
    for name in ("close", "cancel"):
        method = getattr(lazy, name, None)
        if method is not None:
            with suppress(Exception):
                method()
            return
