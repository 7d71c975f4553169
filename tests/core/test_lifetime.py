"""Processes end with their parent, by the kernel's signal on Linux and by other means elsewhere."""

import os
import signal
import subprocess
import sys

import pytest

from tests.databases import ROOT
from tests.processes import ended, processes

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
TETHERED = f"""
import signal, subprocess, sys
from core.process.lifetime import tether
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], preexec_fn=tether(signal.SIGTERM), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
SELF = f"import os; from core.process.lifetime import die_with; die_with(os.getppid()); {SLEEPER}"
WATCHING = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SELF!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("way", [{}, {"SLIPWAY_NO_PARENT_DEATH_SIGNAL": "1"}], ids=["Linux", "elsewhere"])
@pytest.mark.parametrize("code", [TETHERED, WATCHING], ids=["tether", "die_with"])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent_and_nothing_is_left(
    code: str, way: dict[str, str], signum: signal.Signals
) -> None:
    mark = f"slipway-test-{os.getpid()}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | way
    parent = subprocess.Popen(
        [sys.executable, "-c", code, mark], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signum)
        assert ended(child)
    assert not list(processes(mark))
