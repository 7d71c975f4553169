"""A browser for all tests, and for each test a site that no other test changes."""

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
    """A reader of a new site. After the test the browser's console must hold no message."""
    settings.SNAPSHOT_DIR = tmp_path / "snapshots"
    with serve(tmp_path / "site.log") as site:
        person = Reader(driver, site)
        yield person
        messages = person.console_messages()
        driver.delete_all_cookies()
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        driver.get("about:blank")
    assert messages == []


@pytest.fixture
def signed_in(reader: Reader, member: Callable[[str], User]) -> Callable[[str], Reader]:
    """A function that signs the reader in as a new member of a group."""

    def sign_in(group: str) -> Reader:
        reader.sign_in_as(member(group))
        return reader

    return sign_in
