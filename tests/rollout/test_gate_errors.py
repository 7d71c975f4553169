"""Errors in the arms: which count against the candidate, and what they leave to the caller."""

import asyncio
import functools
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.http import Http404

from core.access.actors import SYSTEM
from rollout.choices import Stage
from rollout.gate import Answer, mismatches
from rollout.models import Rollout
from rollout.operations import policies
from tests.conftest import committed
from tests.processes import until
from tests.rollout.gate_world import IN, NAME, World, fails

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World(limit_seconds=10.0)


def not_found(*args: Any) -> None:
    raise Http404(*args)


def breaks_query() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nothing")


def swallows_query() -> str:
    with suppress(DatabaseError):
        breaks_query()
    return "candidate"


def swallows_in_block() -> str:
    with suppress(DatabaseError), transaction.atomic(savepoint=False):
        breaks_query()
    return "candidate"


@pytest.mark.parametrize("candidate", [breaks_query, swallows_query, swallows_in_block])
def test_a_database_error_of_the_candidate_leaves_the_callers_transaction_usable(
    world: World, candidate: Callable[[], Any]
) -> None:
    world.at(Stage.FULL_ACTIVE)
    with transaction.atomic():
        policies.create_rollout("before", actor=SYSTEM)
        count = world.gate.run(IN, control=lambda: Rollout.objects.filter(name="before").count(), candidate=candidate)
    assert count == 1
    assert Rollout.objects.filter(name="before").exists()
    assert world.figures() == {"candidate": 1, "candidate errors": 1}


def test_what_a_candidate_wrote_before_it_failed_is_undone(world: World) -> None:
    def candidate() -> None:
        policies.create_rollout("half", actor=SYSTEM)
        fails()

    world.at(Stage.FULL_ACTIVE)
    assert world.run(IN, candidate) == "control"
    assert not Rollout.objects.filter(name="half").exists()


def test_control_keeps_its_changes_and_its_mark_to_roll_back_as_without_a_gate(world: World) -> None:
    def control() -> None:
        policies.create_rollout("kept", actor=SYSTEM)
        raise ValueError

    world.at(Stage.DARK_MODE)
    with transaction.atomic(), pytest.raises(ValueError):  # noqa: PT011 - the test's own
        world.gate.run(IN, control=control, candidate=fails)
    assert Rollout.objects.filter(name="kept").exists()
    with transaction.atomic():
        world.gate.run(IN, control=lambda: transaction.set_rollback(True), candidate=fails)
        assert transaction.get_rollback()


def test_a_database_error_of_control_leaves_the_callers_transaction_usable(world: World) -> None:
    def control() -> None:
        Rollout.objects.create(name=NAME)

    world.at(Stage.DARK_MODE)
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            world.gate.run(IN, control=control, candidate=fails)
        assert Rollout.objects.filter(name=NAME).exists()


@pytest.mark.parametrize("stage", [Stage.DARK_MODE, Stage.SHADOW_MODE, Stage.FULL_ACTIVE])
def test_an_exception_that_is_an_answer_is_raised_and_is_no_error(world: World, stage: Stage) -> None:
    world.at(stage)
    with pytest.raises(Http404):
        world.gate.run(IN, control=not_found, candidate=not_found, answers=(Http404,))
    figures = {
        Stage.DARK_MODE: {"control": 1},
        Stage.SHADOW_MODE: {"control": 1, "candidate": 1, "compared": 1},
        Stage.FULL_ACTIVE: {"candidate": 1},
    }
    assert world.settles_at(**figures[stage])


@pytest.mark.parametrize(
    ("control", "candidate", "is_same"),
    [
        (not_found, lambda: "found", False),
        (lambda: "found", not_found, False),
        (lambda: not_found("a"), lambda: not_found("a"), True),
        (lambda: not_found("a"), lambda: not_found("b"), False),
    ],
)
def test_answers_that_are_raised_are_compared(
    world: World, control: Callable[[], Any], candidate: Callable[[], Any], is_same: bool
) -> None:
    world.at(Stage.SHADOW_MODE)
    with suppress(Http404):
        world.gate.run(IN, control=control, candidate=candidate, answers=(Http404,))
    figures = {"control": 1, "candidate": 1, "compared": 1} | ({} if is_same else {"mismatches": 1})
    assert world.settles_at(**figures)
    if not is_same:
        assert until(lambda: mismatches.read_mismatches(NAME) != [])
        assert "raised Http404(" in str(mismatches.read_mismatches(NAME))


@pytest.mark.parametrize("stage", [Stage.SHADOW_MODE, Stage.FULL_ACTIVE])
def test_an_error_that_both_arms_raise_counts_against_neither(world: World, stage: Stage) -> None:
    world.at(stage)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            world.gate.run(IN, control=fails, candidate=fails)
    assert world.settles_at()


def test_an_error_of_control_alone_counts_in_shadow_mode(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    with pytest.raises(ZeroDivisionError):
        world.gate.run(IN, control=fails, candidate=lambda: "candidate")
    assert world.settles_at(control=1, control_errors=1, candidate=1)


def test_an_error_of_the_candidate_counts_if_control_raises_an_answer(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    with pytest.raises(Http404):
        world.gate.run(IN, control=not_found, candidate=fails, answers=(Http404,))
    assert world.figures() == {"candidate": 1, "candidate errors": 1}


def test_an_error_of_control_counts_if_its_shadow_run_finds_no_place(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    world.pool.abandoned = 8
    with pytest.raises(ZeroDivisionError):
        world.gate.run(IN, control=fails, candidate=fails)
    assert world.figures() == {"control": 1, "control errors": 1}


@pytest.mark.parametrize("stage", [Stage.DISABLED, Stage.SHADOW_MODE, Stage.FULL_ACTIVE])
def test_a_keyboard_interrupt_reaches_the_caller_and_counts_as_nothing(world: World, stage: Stage) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.at(stage)
    with pytest.raises(KeyboardInterrupt):
        world.gate.run(IN, control=interrupt, candidate=interrupt, answers=(BaseException,))
    assert world.figures() == {}


def hide(late: Callable[[], Any]) -> Callable[[], Any]:
    """Return a plain function that returns what the function returns."""
    return lambda: Answer(late()).value


async def coroutine() -> str:
    return "late"


async def async_generator() -> Any:
    yield "late"


def generator() -> Any:
    yield "late"


class Asynchronous:
    async def __call__(self) -> str:
        return "late"


LATE = [coroutine, functools.partial(coroutine), Asynchronous(), sync_to_async(fails), generator, async_generator]


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("role", ["control", "candidate", "probe"])
def test_a_function_that_would_run_past_the_gate_is_refused(world: World, late: Any, role: str) -> None:
    functions: dict[str, Any] = {"control": lambda: 1, "candidate": lambda: 1, "probe": lambda: True}
    with pytest.raises(TypeError, match=r"arun|list"):
        world.gate.run(IN, **(functions | {role: late}))


@pytest.mark.parametrize("late", LATE)
def test_a_candidate_that_returns_what_has_yet_to_run_has_failed(world: World, late: Any) -> None:
    world.at(Stage.FULL_ACTIVE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert world.run(IN, hide(late)) == "control"
        assert world.run(IN, lambda: Answer(late())) == "control"
    assert world.figures() == {"candidate": 2, "candidate errors": 2}


def test_control_that_returns_what_has_yet_to_run_is_refused(world: World) -> None:
    for stage in (Stage.DISABLED, Stage.DARK_MODE):
        world.at(stage)
        with pytest.raises(TypeError, match="arun"):
            world.gate.run(IN, control=hide(coroutine), candidate=lambda: 1)


def test_a_future_is_refused_too(world: World) -> None:
    async def ask() -> None:
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TypeError, match="Future"):
            world.gate.run(IN, control=lambda: future, candidate=lambda: 1)
        assert future.cancelled()

    asyncio.run(ask())


@pytest.mark.parametrize("answers", ["Http404", ("Http404",), (Http404(),), None])
def test_answers_that_are_no_exceptions_are_refused(world: World, answers: Any) -> None:
    if answers is None:
        assert world.run(IN, lambda: "candidate", answers=()) == "control"
        return
    with pytest.raises(TypeError, match="answers must be"):
        world.run(IN, lambda: "candidate", answers=answers)


@committed
def test_outside_of_a_transaction_no_savepoint_is_made(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    assert world.run(IN, lambda: connection.in_atomic_block) is False
