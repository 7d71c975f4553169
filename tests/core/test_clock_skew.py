"""Each process publishes its clock skew, which is removed when it is a minute old."""

import os
import socket
import time

import pytest

from core import clock_skew
from core.redis import client, key

THIS = f"{socket.gethostname()}:{os.getpid()}"


def test_a_process_publishes_how_far_its_clock_is_ahead() -> None:
    clock_skew.publish_skew()
    assert clock_skew.skew_by_process() == {THIS: pytest.approx(0, abs=1)}


def test_a_clock_that_is_ahead_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 90)
    ahead_seconds, redis_time = clock_skew.measure_skew()
    assert ahead_seconds == pytest.approx(90, abs=1)
    assert redis_time == pytest.approx(now(), abs=1)


def test_a_process_that_published_nothing_for_a_minute_is_removed() -> None:
    _, redis_time = clock_skew.measure_skew()
    client().hset(key("clocks"), "web-1:5", f"0.5 {redis_time - 55:.0f}")
    client().hset(key("clocks"), "web-2:6", f"0.5 {redis_time - 65:.0f}")
    assert clock_skew.skew_by_process() == {"web-1:5": 0.5}
    assert client().hkeys(key("clocks")) == [b"web-1:5"]
