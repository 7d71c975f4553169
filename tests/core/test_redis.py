"""Each thread and each fork reads from Redis on a connection of its own."""

import os
import subprocess
import sys

from core.redis import client, key, read_value
from tests.databases import ROOT

READS = 300
# Both processes read at the same time. If they shared a socket, one would read the answers to the other's calls.
READ_IN_PARENT_AND_FORK = f"""
import os
from config.startup import start
start()
from core.redis import client, key, read_value

def reads_only(name):
    return all(read_value(key(name)) == name.encode() for _ in range({READS}))

for name in ("parent", "child"):
    client().set(key(name), name)
assert read_value(key("parent")) == b"parent"
child = os.fork()
if not child:
    os._exit(0 if reads_only("child") else 1)
is_right = reads_only("parent")
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), is_right)
"""


def test_a_fork_reads_on_a_connection_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_IN_PARENT_AND_FORK],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "0 True"


def test_a_key_that_does_not_exist_has_no_value() -> None:
    assert read_value(key("no such key")) is None


def test_a_replaced_client_is_used_at_once() -> None:
    client().set(key("x"), b"1")
    assert read_value(key("x")) == b"1"
    client.cache_clear()
    client().set(key("x"), b"2")
    assert read_value(key("x")) == b"2"
