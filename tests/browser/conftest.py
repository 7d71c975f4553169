"""A browser for all tests, and for each a site of its own that nobody else changes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings
from selenium.webdriver import Chrome

from tests.browser.reader import Reader, chromium
from tests.browser.site import collect_static_files, serve
from tests.rollout.recovery.people import member

__all__ = ["member"]


@pytest.fixture(scope="session")
def driver() -> Iterator[Chrome]:
    collect_static_files()
    browser = chromium()
    yield browser
    browser.quit()


@pytest.fixture
def reader(driver: Chrome, installation: None, settings: Settings, tmp_path: Path) -> Iterator[Reader]:
    """At the end its browser has to have had nothing to complain of."""
    settings.SNAPSHOT_DIR = tmp_path / "snapshots"
    with serve(tmp_path / "site.log") as site:
        found = Reader(driver, site)
        yield found
        complaints = found.complaints()
        driver.delete_all_cookies()
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        driver.get("about:blank")
    assert complaints == []


@pytest.fixture
def signed_in(reader: Reader, member: Callable[[str], User]) -> Callable[[str], Reader]:
    """As a member of a group."""

    def sign_in(group: str) -> Reader:
        reader.be(member(group))
        return reader

    return sign_in
