"""The log of failed candidates: callers get control's answer, so only the log shows what went wrong."""

import asyncio
import uuid
from collections.abc import MutableMapping
from typing import Any

import pytest
from django.http import Http404
from structlog.testing import capture_logs

from rollout.choices import Stage
from rollout.models import Rollout
from tests.processes import until
from tests.rollout.gate_world import IN, World

pytestmark = pytest.mark.django_db
Entry = MutableMapping[str, Any]


@pytest.fixture
def world() -> World:
    world = World(limit_seconds=10.0)
    world.never_trips()
    return world


def fails(reason: str) -> None:
    raise LookupError(reason)


def not_found() -> None:
    raise Http404


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def unprintable() -> None:
    raise Unprintable


def failures(logs: list[Entry]) -> list[str]:
    """Return the errors that were logged with a traceback."""
    return [entry["error"] for entry in logs if isinstance(entry.get("exc_info"), BaseException)]


def test_a_candidate_that_fails_while_it_serves_is_logged_once_for_each_type_of_error(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    with capture_logs() as logs:
        assert world.run(IN, lambda: fails("no price for anna")) == "control"
        assert world.run(IN, lambda: fails("no price for bob")) == "control"
        world.run(IN, lambda: 1 / 0)
    assert failures(logs) == ["LookupError: no price for anna", "ZeroDivisionError: division by zero"]
    assert {entry["rollout"] for entry in logs} == {"derived-data"}


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        (Stage.DARK_MODE, {"candidate": lambda: None, "probe": lambda: fails("no cache")}),
        (Stage.SHADOW_MODE, {"candidate": lambda: fails("no cache")}),
    ],
)
def test_a_run_beside_control_that_fails_is_logged(world: World, stage: Stage, options: dict[str, Any]) -> None:
    world.at(stage)
    with capture_logs() as logs:
        assert world.run(IN, **options) == "control"
        assert until(lambda: failures(logs) == ["LookupError: no cache"], 10)


@pytest.mark.parametrize("stage", [Stage.DARK_MODE, Stage.SHADOW_MODE, Stage.FULL_ACTIVE])
def test_an_asynchronous_candidate_that_fails_is_logged(world: World, stage: Stage) -> None:
    world.at(stage)

    async def broken() -> None:
        fails("no cache")

    async def ask() -> None:
        await world.gate.arun(IN, control=lambda: "control", candidate=broken, probe=broken)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    with capture_logs() as logs:
        asyncio.run(ask())
    assert failures(logs) == ["LookupError: no cache"]


def test_the_next_stage_logs_the_same_error_again(world: World) -> None:
    with capture_logs() as logs:
        for stage in (Stage.PARTIAL_ACTIVE, Stage.FULL_ACTIVE):
            Rollout.objects.update(visit=uuid.uuid4())
            world.at(stage)
            world.run(IN, lambda: fails("no cache"))
    assert failures(logs) == ["LookupError: no cache"] * 2


def test_an_exception_that_cannot_be_printed_harms_no_caller(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    with capture_logs() as logs:
        assert world.run(IN, unprintable) == "control"
    assert len(failures(logs)) == 1


def test_an_exception_that_is_an_answer_is_not_logged(world: World) -> None:
    world.at(Stage.FULL_ACTIVE)
    with capture_logs() as logs, pytest.raises(Http404):
        world.run(IN, not_found, answers=(Http404,))
    assert logs == []


def test_a_candidate_that_takes_too_long_is_logged() -> None:
    world = World(limit_seconds=0.0)
    world.never_trips()
    world.at(Stage.FULL_ACTIVE)
    with capture_logs() as logs:
        world.run(IN, world.in_flight.count_overdue)
    assert [entry["error"] for entry in logs] == ["TimeoutError: it took longer than 5 s"]
