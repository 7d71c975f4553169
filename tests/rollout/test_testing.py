"""Gates in the tests of an application: they start nothing, and a test chooses the arm."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from rollout.gate import Arm, gate, runtime
from rollout.testing import force, force_arm
from tests import databases
from tests.conftest import committed
from tests.databases import ROOT

__all__ = ["force_arm"]
NAME = "new-odds"


def run(**options: Any) -> Any:
    return gate(NAME).run("key", **({"control": lambda: "control", "candidate": lambda: "candidate"} | options))


def fails() -> None:
    raise ZeroDivisionError


@pytest.fixture
def no_runtime() -> None:
    """A process that has asked no gate yet."""
    runtime.shared.reset()


def test_a_test_forces_an_arm(no_runtime: None) -> None:
    threads = threading.active_count()
    assert (run(), gate(NAME).decide("key")) == ("control", Arm.CONTROL)
    with force(NAME, Arm.CANDIDATE):
        assert (run(), gate(NAME).decide("key")) == ("candidate", Arm.CANDIDATE)
        with force(NAME, Arm.CONTROL):
            assert run() == "control"
        with pytest.raises(ZeroDivisionError):
            run(candidate=fails)
        gate(NAME).observe(Arm.CANDIDATE, 1.0)
        assert gate("other").decide("key") is Arm.CONTROL
    assert run() == "control"
    assert threading.active_count() == threads


@force(NAME, Arm.CANDIDATE)
def test_a_decorator_forces_the_arm() -> None:
    assert run() == "candidate"
    nested()
    assert run() == "candidate"


@force(NAME, Arm.CONTROL)
def nested() -> None:
    assert run() == "control"


def test_a_decorator_forces_the_arm_for_asynchronous_code(no_runtime: None) -> None:
    async def answer() -> str:
        await asyncio.sleep(0)
        return "late"

    @force(NAME, Arm.CANDIDATE)
    async def forced() -> Any:
        await asyncio.sleep(0)
        return await gate(NAME).arun("key", control=fails, candidate=answer)

    assert asyncio.run(forced()) == "late"
    assert asyncio.run(gate(NAME).arun("key", control=answer, candidate=fails)) == "late"


def test_the_fixture_forces_the_arm(force_arm: Callable[[str, Arm], None]) -> None:
    force_arm(NAME, Arm.CANDIDATE)
    assert run() == "candidate"
    force_arm(NAME, Arm.CONTROL)
    assert run() == "control"


def test_the_fixture_ends_with_its_test() -> None:
    assert run() == "control"


def test_a_class_is_refused_because_its_tests_would_not_be_found() -> None:
    with pytest.raises(TypeError, match=r"cannot decorate the class TestPrices.*self\.enterContext"):

        @force(NAME, Arm.CANDIDATE)
        class TestPrices:
            pass


def test_force_refuses_what_is_no_arm() -> None:
    with pytest.raises(TypeError, match=r"Arm\.CANDIDATE"):
        force(NAME, "candidate")  # type: ignore[arg-type]


SHOP = {
    "shop/__init__.py": "",
    "shop/apps.py": """
from django.apps import AppConfig
from rollout.gate import Arm, gate

class Shop(AppConfig):
    name = "shop"

    def ready(self) -> None:
        assert gate("derived-data").decide("key") is Arm.CONTROL  # before the test environment is set up
""",
    "shop/tests.py": """
import threading
from django.test import SimpleTestCase, TestCase
from rollout.gate import Arm, gate
from rollout.testing import force

def price():
    return gate("derived-data").run("key", control=lambda: "control", candidate=lambda: "candidate")

class Plain(TestCase):
    def test_control_answers(self):
        self.assertEqual(price(), "control")
        with force("derived-data", Arm.CANDIDATE):
            self.assertEqual(price(), "candidate")

class Elsewhere(SimpleTestCase):
    @force("derived-data", Arm.CANDIDATE)
    def test_the_candidate_answers(self):
        self.assertEqual(price(), "candidate")

    def test_a_thread_that_began_earlier_ends(self):
        for thread in threading.enumerate():
            if thread.name in ("slipway-gate", "slipway-counts"):
                thread.join(10)
                self.assertFalse(thread.is_alive(), thread.name)
""",
}


@committed
def test_the_tests_of_an_application_tear_their_database_down(tmp_path: Path) -> None:
    for name, text in SHOP.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = os.environ | {
        "DATABASE_URL": databases.address(),
        "SLIPWAY_APPS": "shop.apps.Shop",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
    }
    command = [sys.executable, str(ROOT / "manage.py"), "test", "shop", "--noinput"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Ran 3 tests" in done.stderr) == (0, True), done.stdout + done.stderr
    names = [row[0] for row in databases.execute("SELECT datname FROM pg_database")]
    assert f"test_{connection.settings_dict['NAME']}" not in names
