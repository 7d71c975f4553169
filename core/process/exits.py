"""Functions that a process calls when it ends normally: the main process and the children of every kind of pool.

Python's atexit is not enough: children of multiprocessing and of Celery's billiard end without it.
"""

import atexit
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import util

from core.process.per_process import PerProcess

Function = Callable[[], object]


def at_exit(function: Function) -> None:
    """Call the function when this process ends normally. A fork of this process does not call it.

    function: an exception of it is ignored, so that the other functions are called too.
    """
    _functions().append(function)


def run() -> None:
    """Call the functions of this process, the newest first. A pool whose children end otherwise calls this itself."""
    functions = _functions.current() or []
    while functions:
        with suppress(Exception):
            functions.pop()()


def _register() -> list[Function]:
    """Register `run` with the libraries whose children skip atexit; each forgets what its parent registered."""
    util.Finalize(None, run, exitpriority=10)
    billiard = sys.modules.get("billiard.util")  # a process that does not import it is none of its children
    if billiard is not None:
        billiard.Finalize(None, run, exitpriority=10)
    return []


_functions = PerProcess(_register)
atexit.register(run)  # a fork inherits this, and has no functions of its parent
