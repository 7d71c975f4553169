"""The end of a process: what it counted is stored once, in the main process and in the children of every pool."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.databases import ROOT

COUNTING = """
import os
from core.process.exits import at_exit

def count(name):
    at_exit(lambda: os.write(1, f"{name} is stored\\n".encode()))
"""
MULTIPROCESSING = """
import multiprocessing, sys
from counting import count

if __name__ == "__main__":
    count("parent")
    context = multiprocessing.get_context(sys.argv[1])
    child = context.Process(target=count, args=("child",))
    child.start()
    child.join()
"""
WHILE_IMPORTING = """
import multiprocessing, sys
from counting import count

if __name__ == "__mp_main__":
    count("child")

def work():
    pass

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
"""
BILLIARD = """
import billiard
from counting import count

if __name__ == "__main__":
    count("parent")
    child = billiard.Process(target=count, args=("child",))
    child.start()
    child.join()
"""
CELERY = """
import django; django.setup()
import config.celery
from billiard.pool import Pool
from celery.concurrency.prefork import process_destructor
from counting import count

if __name__ == "__main__":
    count("parent")
    pool = Pool(1, on_process_exit=process_destructor)
    pool.apply(count, ("child",))
    pool.close()
    pool.join()
"""
FORK = """
import os, sys
from counting import count
count("parent")
if child := os.fork():
    os.waitpid(child, 0)
else:
    count("child")
sys.exit()
"""

BOTH = ["child is stored", "parent is stored"]
Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "counting.py").write_text(COUNTING)

    def run_script(script: str, *arguments: str) -> list[str]:
        (tmp_path / "script.py").write_text(script)
        environment = os.environ | {
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        done = subprocess.run(
            [sys.executable, str(tmp_path / "script.py"), *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return [line for line in done.stdout.splitlines() if line.endswith("is stored")]

    return run_script


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_stores_what_it_counted(run: Run, method: str) -> None:
    assert run(MULTIPROCESSING, method) == BOTH


@pytest.mark.parametrize("script", [BILLIARD, CELERY, FORK], ids=["billiard", "Celery's pool", "os.fork"])
def test_another_child_stores_what_it_counted(run: Run, script: str) -> None:
    assert run(script) == BOTH


def test_a_spawned_child_stores_what_it_counted_while_it_imported_its_modules(run: Run) -> None:
    assert run(WHILE_IMPORTING) == ["child is stored"]
