"""A person at a browser, who finds things by their text and waits for changes of the page."""

import shutil
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.processes import until

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
FLAGS += [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
    "--hide-scrollbars",
]
REPLACED = (NoSuchElementException, StaleElementReferenceException)  # the page, or a part of it, since it was read
MISSING = "cannot start a browser: install Debian's chromium and chromium-driver"


def chromium() -> Chrome:
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert browser is not None, MISSING
    assert driver is not None, MISSING
    options = ChromeOptions()
    options.binary_location = browser
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(driver))


class Reader:
    """A person who reads the site in a browser."""

    def __init__(self, driver: Chrome, site: str) -> None:
        self.driver, self.site = driver, site

    def open(self, path: str) -> None:
        self.driver.get(self.site + path)

    def sign_in(self, name: str, password: str) -> None:
        self.open("/admin/")
        self.type("username", name)
        self.type("password", password)
        self.press("Log in")

    def sign_in_as(self, user: User) -> None:
        """Sign in without the form."""
        client = Client()
        client.force_login(user)
        self.open("/healthz")  # a cookie can be set for the current site only
        name = settings.SESSION_COOKIE_NAME
        self.driver.add_cookie({"name": name, "value": client.cookies[name].value, "path": "/"})

    def type(self, field: str, text: str) -> None:
        element = self.driver.find_element(By.NAME, field)
        element.clear()
        element.send_keys(text)

    def press(self, text: str) -> None:
        """Press the button or link that begins with the text. The theme's icons are lines of their own before it."""
        assert until(lambda: self._try_to_press(text)), f"no button or link begins with {text!r}"

    def _try_to_press(self, text: str) -> bool:
        for element in self.all("button, a"):
            try:
                if element.is_displayed() and any(line.startswith(text) for line in element.text.splitlines()):
                    element.click()
                    return True
            except REPLACED:
                return False
        return False

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def sees(self, text: str, seconds: float = 30) -> bool:
        """Return whether the page contains the text, now or within some seconds, without a further step."""
        return until(lambda: self._contains(text), seconds)

    def _contains(self, text: str) -> bool:
        try:
            return text in self.text()
        except REPLACED:
            return False

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *args: object) -> Any:
        return self.driver.execute_script(script, *args)

    def console_messages(self) -> list[str]:
        """Return the messages that the browser wrote to its console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
