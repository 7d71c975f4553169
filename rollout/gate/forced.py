"""Gates in tests: the arms that a test forces, and whether Django's test environment is set up."""

from collections.abc import Callable

from django.core import mail

from rollout.decisions.stages import Arm

# The forced arm by rollout, the newest last. All threads share it, because a test's live server answers in another one.
FORCED: dict[str, list[Arm]] = {}


def is_test_environment() -> bool:
    """Return whether `setup_test_environment` was called, which a test runner does. It alone makes a mail outbox."""
    return hasattr(mail, "outbox")


def test_environment_began() -> Callable[[], bool]:
    """Return a function that returns whether the test environment was set up after this call.

    Threads that began before it, while apps were loaded for example, end then: their connections would keep a test
    runner from dropping its database.
    """
    return (lambda: False) if is_test_environment() else is_test_environment


def push(rollout: str, arm: Arm) -> None:
    """Force the arm from now on."""
    FORCED.setdefault(rollout, []).append(arm)


def pop(rollout: str) -> None:
    """Undo the newest `push`."""
    arms = FORCED[rollout]
    arms.pop()
    if not arms:
        del FORCED[rollout]
