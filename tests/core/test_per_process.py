"""A per-process value is made once for all threads, and made again in a fork."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from core.process.per_process import PerProcess
from tests.databases import ROOT

THREADS = 8
# A thread is making the value, and holds the holder's lock, while the process forks.
FORK_WHILE_A_THREAD_MAKES_THE_VALUE = """
import os, threading
from core.process.per_process import PerProcess

parent = os.getpid()
has_begun, may_end = threading.Event(), threading.Event()

def make():
    if os.getpid() == parent:
        has_begun.set()
        may_end.wait()
    return os.getpid()

holder = PerProcess(make)
thread = threading.Thread(target=holder)
thread.start()
has_begun.wait()
child = os.fork()
if not child:
    os._exit(0 if holder() == os.getpid() else 1)
_, status = os.waitpid(child, 0)
may_end.set()
thread.join()
print(os.waitstatus_to_exitcode(status), holder() == parent)
"""
FORK_AFTER_THE_VALUE_WAS_MADE = """
import os
from core.process.per_process import PerProcess

holder = PerProcess(os.getpid)
parent = holder()
child = os.fork()
if not child:
    os._exit(0 if holder.current() is None and holder() == os.getpid() != parent else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), holder.current() == parent)
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def test_many_threads_share_one_value() -> None:
    together = threading.Barrier(THREADS)
    holder: PerProcess[object] = PerProcess(object)

    def value() -> object:
        together.wait(30)
        return holder()

    with ThreadPoolExecutor(THREADS) as pool:
        values = list(pool.map(lambda _: value(), range(THREADS)))
    assert len(set(map(id, values))) == 1
    assert values[0] is holder()


def test_the_value_is_made_on_the_first_call() -> None:
    holder = PerProcess(os.getpid)
    assert holder.current() is None
    assert holder() == os.getpid()
    assert holder.current() == os.getpid()


def test_a_fork_makes_another_value() -> None:
    assert run(FORK_AFTER_THE_VALUE_WAS_MADE) == "0 True"


def test_a_fork_waits_for_no_thread_of_its_parent() -> None:
    assert run(FORK_WHILE_A_THREAD_MAKES_THE_VALUE) == "0 True"


def test_a_reset_makes_another_value_or_holds_the_given_one() -> None:
    holder: PerProcess[list[int]] = PerProcess(list)
    first = holder()
    holder.reset()
    assert holder.current() is None
    assert holder() is not first
    given = [1]
    holder.reset(given)
    assert holder() is given


def test_a_value_that_cannot_be_made_is_tried_again() -> None:
    attempts: list[int] = []

    def make() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError
        return len(attempts)

    holder = PerProcess(make)
    try:
        holder()
    except ConnectionError:
        assert holder.current() is None
    assert holder() == 2
