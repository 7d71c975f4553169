"""Gates in the tests of an application: they answer control, unless a test forces an arm.

Under Django's test runner, and under pytest-django, gates start no thread and open no connection. While an arm is
forced it runs plainly: its exceptions are raised, and nothing is counted or compared.
"""

from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, ExitStack
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from rollout.decisions.stages import Arm
from rollout.gate import forced

try:
    import pytest
except ModuleNotFoundError:  # only the fixture needs it
    pytest = None  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., Any])


class force(ContextDecorator):  # noqa: N801 - it is called like a function
    """Force an arm of a rollout, within a `with` block, a function or an asynchronous function.

    name: the rollout's. Forces can be nested; the innermost one holds.
    Raises TypeError if arm is not an Arm.
    """

    def __init__(self, name: str, arm: Arm) -> None:
        if not isinstance(arm, Arm):
            raise TypeError(f"arm must be Arm.CONTROL or Arm.CANDIDATE (got {arm!r})")
        self._name, self._arm = name, arm

    def __enter__(self) -> None:
        forced.push(self._name, self._arm)

    def __exit__(self, *error: object) -> None:
        forced.pop(self._name)

    def __call__(self, function: F) -> F:
        """Return the function with the arm forced while it runs.

        Raises TypeError for a class: a runner would find no test in what is returned.
        """
        if isinstance(function, type):
            remedy = "decorate its methods, or call self.enterContext(force(...)) in its setUp"
            raise TypeError(f"cannot decorate the class {function.__name__}: {remedy}")
        if not iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return cast("F", run)


if pytest is not None:

    @pytest.fixture
    def force_arm() -> Iterator[Callable[[str, Arm], None]]:
        """Return a function that takes a rollout's name and an arm, and forces the arm until the test ends."""
        with ExitStack() as stack:
            yield lambda name, arm: stack.enter_context(force(name, arm))
