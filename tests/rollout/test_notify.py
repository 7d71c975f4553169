"""The one place that tells people."""

import pytest

from core.notices import notify as module
from core.notices.notify import Event, deliver_with, notify

HAPPENED = Event("provider_status", "stub NBA", "stub NBA is active", {"was": "inactive"})


@pytest.fixture(autouse=True)
def own_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_channels", [])


def test_it_logs_and_tells_every_channel(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []
    deliver_with(told.append)
    deliver_with(told.append)
    notify(HAPPENED)
    assert told == [HAPPENED, HAPPENED]
    assert "stub NBA is active" in caplog.text


def test_a_channel_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []

    def broken(event: Event) -> None:
        raise ConnectionError("no mail today")

    deliver_with(broken)
    deliver_with(told.append)
    notify(HAPPENED)
    assert told == [HAPPENED]
    assert "a channel failed" in caplog.text
