"""Every main page can be read by everybody: no serious fault that axe-core finds in light or dark, nothing that scrolls
sideways on a phone, everything in reach of a keyboard.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from caching.models import CacheEntry
from core.access.actors import SYSTEM
from core.health_checks import Suite
from providers.models import ProviderState
from rollout.choices import RunKind
from rollout.models import Rollout, StagePolicy
from rollout.operations import lifecycle
from rollout.recovery import operations as recovery
from rollout.recovery.snapshots import operations as snapshots
from tests.browser.reader import Reader
from validation.operations import validate

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
FAULTS = """
const done = arguments[arguments.length - 1];
axe.run({resultTypes: ["violations"]}).then(found => done(found.violations
  .filter(each => ["serious", "critical"].includes(each.impact))
  .map(each => each.id + " at " + each.nodes.map(node => node.target.join(" ")).slice(0, 5).join(", "))));
"""
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


def pages() -> list[str]:
    """The ten main pages, and those that are reached from them."""
    rollout, entry = Rollout.objects.get(), CacheEntry.objects.latest("pk")
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    run = recovery.roll_back(RunKind.STANDARD, actor=SYSTEM, reason="a test")
    recovery.carry_out(run)
    recovery.carry_out(recovery.undo(actor=SYSTEM))
    snapshots.create(actor=SYSTEM, reason="a test")
    stored = validate(Suite.EXIT, actor=SYSTEM).stored_as
    lifecycle.start(rollout, actor=SYSTEM, reason="a test")
    return [
        "/admin/",
        "/admin/rollout/rollout/",
        f"/admin/rollout/rollout/{rollout.pk}/change/",
        f"/admin/rollout/rollout/{rollout.pk}/pause/",
        f"/admin/rollout/stagepolicy/{StagePolicy.objects.latest('pk').pk}/change/",
        "/admin/rollout/transition/",
        "/admin/validation/validationrun/",
        f"/admin/validation/validationrun/{stored}/change/",
        "/admin/rollout/recoveryrun/",
        f"/admin/rollout/recoveryrun/{run.pk}/change/",
        "/admin/rollout/recoveryrun/begin/emergency/",
        "/admin/rollout/snapshot/",
        "/admin/providers/providerstate/",
        f"/admin/providers/providerstate/{state.pk}/change/",
        f"/admin/providers/providerstate/{state.pk}/history/",
        "/admin/caching/cacheentry/",
        f"/admin/caching/cacheentry/{entry.pk}/change/",
        "/admin/providers/gamelog/",
        "/admin/providers/gamelogupload/add/",
        "/admin/pghistory/context/",
        "/admin/auth/user/",
    ]


@pytest.fixture
def admin(signed_in: Callable[[str], Reader]) -> Reader:
    return signed_in("Admin")


def faults(reader: Reader) -> list[str]:
    reader.run(AXE)
    found: list[str] = reader.driver.execute_async_script(FAULTS)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(theme: str, admin: Reader) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    admin.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    found: dict[str, Any] = {}
    for page in pages():
        admin.open(page)
        if wrong := faults(admin):
            found[page] = wrong
    assert found == {}


def test_nothing_runs_out_of_a_phones_screen(admin: Reader) -> None:
    admin.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    found = []
    for page in pages():
        admin.open(page)
        if admin.run("return document.documentElement.scrollWidth") > PHONE["width"]:
            found.append(page)
    assert found == []


def test_menu_and_filters_are_in_reach_of_the_keyboard(admin: Reader) -> None:
    admin.open("/admin/providers/providerstate/")
    reached = set()
    for _ in range(60):
        admin.driver.switch_to.active_element.send_keys(Keys.TAB)
        active = admin.driver.switch_to.active_element
        reached.add(active.get_attribute("aria-label") or next(iter(active.text.splitlines()), ""))
        assert active.value_of_css_property("outline-style") != "none", f"no focus is seen on {active.text}"
        if active.text.startswith("Filters"):
            break
    assert {"Show or hide the menu", "Filters"} <= reached
    assert not any(each.is_displayed() for each in admin.all("#changelist-filter"))
    admin.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert any(each.is_displayed() for each in admin.all("#changelist-filter"))
