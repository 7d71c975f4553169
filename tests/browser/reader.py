"""A person at a browser: finds things by what they say, and waits for what is to come."""

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
EXCHANGED = (NoSuchElementException, StaleElementReferenceException)  # the page, or part of it, meanwhile
MISSING = "install Debian's chromium and chromium-driver"


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
    def __init__(self, driver: Chrome, site: str) -> None:
        self.driver, self.site = driver, site

    def open(self, path: str) -> None:
        self.driver.get(self.site + path)

    def sign_in(self, name: str, password: str) -> None:
        self.open("/admin/")
        self.type("username", name)
        self.type("password", password)
        self.press("Log in")

    def be(self, user: User) -> None:
        """Signed in, without the form."""
        client = Client()
        client.force_login(user)
        self.open("/healthz")  # a cookie is set on the site that one is at
        name = settings.SESSION_COOKIE_NAME
        self.driver.add_cookie({"name": name, "value": client.cookies[name].value, "path": "/"})

    def type(self, field: str, text: str) -> None:
        found = self.driver.find_element(By.NAME, field)
        found.clear()
        found.send_keys(text)

    def press(self, text: str) -> None:
        """A button or link that begins with this; the theme's icons are words before it."""
        assert until(lambda: self._pressed(text)), f"nothing says {text!r}"

    def _pressed(self, text: str) -> bool:
        for each in self.all("button, a"):
            try:
                if each.is_displayed() and any(line.startswith(text) for line in each.text.splitlines()):
                    each.click()
                    return True
            except EXCHANGED:
                return False
        return False

    def said(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def sees(self, text: str, seconds: float = 30) -> bool:
        """Now, or without a further step in a while."""
        return until(lambda: self._says(text), seconds)

    def _says(self, text: str) -> bool:
        try:
            return text in self.said()
        except EXCHANGED:
            return False

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *args: object) -> Any:
        return self.driver.execute_script(script, *args)

    def complaints(self) -> list[str]:
        """What the browser wrote to its console since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
