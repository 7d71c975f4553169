"""An event is logged and delivered by every channel."""

from collections.abc import Iterator

import pytest

from core.notices.notify import Event, deliver_only_with, deliver_with, notify

EVENT = Event("provider_status", "stub NBA", "stub NBA is active", {"was": "inactive"})


@pytest.fixture(autouse=True)
def no_channels() -> Iterator[None]:
    with deliver_only_with():
        yield


def test_it_logs_and_calls_every_channel(caplog: pytest.LogCaptureFixture) -> None:
    delivered: list[Event] = []
    deliver_with(delivered.append)
    deliver_with(delivered.append)
    notify(EVENT)
    assert delivered == [EVENT, EVENT]
    assert "stub NBA is active" in caplog.text


def test_a_channel_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    delivered: list[Event] = []

    def broken(event: Event) -> None:
        raise ConnectionError("no mail today")

    deliver_with(broken)
    deliver_with(delivered.append)
    notify(EVENT)
    assert delivered == [EVENT]
    assert "a channel failed" in caplog.text


def test_the_registered_channels_return_after_a_replacement() -> None:
    registered: list[Event] = []
    replacing: list[Event] = []
    deliver_with(registered.append)
    with deliver_only_with(replacing.append):
        notify(EVENT)
    assert (registered, replacing) == ([], [EVENT])
    notify(EVENT)
    assert (registered, replacing) == ([EVENT], [EVENT])
