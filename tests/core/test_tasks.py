"""A task is sent by its name to the broker of the process, if the process has one."""

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from config import celery
from core.redis import client, key
from core.tasks import enqueue, send_with
from tests.databases import ROOT


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def waiting(queue: str) -> list[dict[str, Any]]:
    """Return the headers of the tasks that wait in the queue."""
    messages: list[bytes] = client().lrange(key(queue), 0, -1)  # type: ignore[assignment]
    return [json.loads(message)["headers"] for message in messages]


def test_without_a_sender_no_task_is_sent() -> None:
    assert run("from core.tasks import enqueue; print(enqueue('providers.poll_due'))") == "False"


def test_it_reaches_the_queue_of_the_task() -> None:
    assert enqueue("providers.poll_due")
    [headers] = waiting("polls")
    assert headers["task"] == "providers.poll_due"
    assert headers["expires"] is None


def test_arguments_and_expiry_come_along() -> None:
    assert enqueue("rollout.tick", 7, "x", expires_seconds=60)
    [headers] = waiting("control")
    assert headers["argsrepr"] == "(7, 'x')"
    assert headers["expires"] is not None


def test_a_broker_that_does_not_answer_is_reported() -> None:
    code = "import config.celery; from core.tasks import enqueue; print(enqueue('providers.poll_due'))"
    assert run(code, REDIS_URL="redis://127.0.0.1:9/0") == "False"


def test_a_broker_that_hangs_is_reported_in_time() -> None:
    """The server accepts the connection and never answers, as a stopped Redis does."""
    code = "import config.celery; from core.tasks import enqueue; print(enqueue('providers.poll_due'))"
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert run(code, REDIS_URL=f"redis://127.0.0.1:{server.getsockname()[1]}/0") == "False"


@pytest.mark.parametrize("is_taken", [True, False])
def test_the_newest_sender_sends(is_taken: bool) -> None:
    sent: list[tuple[str, tuple[object, ...], float | None]] = []

    def send(name: str, args: tuple[object, ...], expires_seconds: float | None) -> bool:
        sent.append((name, args, expires_seconds))
        return is_taken

    send_with(send)
    try:
        assert enqueue("a", 1, expires_seconds=2.0) is is_taken
    finally:
        send_with(celery.send)
    assert sent == [("a", (1,), 2.0)]
    assert waiting("control") == []
