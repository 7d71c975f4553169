"""The thread that stores counts again and again, and once more at the end of its process."""

import subprocess
import sys

from tests.databases import ROOT

FLUSH_TWICE = """
import threading
from core.process.flush_thread import FlushThread
flushed = threading.Semaphore(0)
thread = FlushThread("slipway-test", flushed.release, 0.001)
for _ in range(3):
    thread.ensure_started()
flushed.acquire()
flushed.acquire()
print([each.name for each in threading.enumerate()].count("slipway-test"))
"""
COUNT_AND_FORK = """
import os, sys
from core.process.flush_thread import FlushThread
parent = os.getpid()
thread = FlushThread("slipway-test", lambda: print("parent" if os.getpid() == parent else "fork"), 86400)
thread.ensure_started()
if os.fork() == 0:
    sys.exit()
os.wait()
"""


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_one_thread_flushes_again_and_again() -> None:
    assert run(FLUSH_TWICE) == "1\n"


def test_what_was_counted_is_stored_at_the_end_by_the_process_that_counted_it() -> None:
    assert run(COUNT_AND_FORK) == "parent\n"
