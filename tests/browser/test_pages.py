"""Every main page is accessible.

axe-core finds no serious fault in the light and the dark theme, no page scrolls sideways on a phone, and a keyboard
reaches everything.
"""

from collections.abc import Callable
from importlib.resources import files

import pytest
from selenium.webdriver.common.keys import Keys

from caching.models import CacheEntry
from core.access.actors import SYSTEM
from core.health_checks import Suite
from providers.models import ProviderState
from rollout.choices import RunKind
from rollout.models import GuardPolicy, Rollout, StagePolicy
from rollout.operations import lifecycle
from rollout.recovery import operations as recovery
from rollout.recovery.snapshots import operations as snapshots
from tests.browser.reader import Reader
from tests.processes import until
from validation.operations import validate

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
FAULTS = """
const done = arguments[arguments.length - 1];
axe.run({resultTypes: ["violations"]}).then(result => done(result.violations
  .filter(each => ["serious", "critical"].includes(each.impact))
  .map(each => each.id + " at " + each.nodes.map(node => node.target.join(" ")).slice(0, 5).join(", "))));
"""
SPLIT_WORDS = """
const list = document.querySelector("#result_list");
if (list === null) return [];
const texts = document.createTreeWalker(list, NodeFilter.SHOW_TEXT), split = [], range = document.createRange();
while (texts.nextNode()) {
  const words = texts.currentNode.textContent.match(/\\w+/g) ?? [];
  range.selectNodeContents(texts.currentNode);
  if (range.getClientRects().length > words.length && words.some(word => word.length > 1)
      && words.every(word => word.length < 16)) split.push(words.join(" "));
}
return split;
"""
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


def pages() -> list[str]:
    """Return the addresses of the ten main pages, and of pages that they link to."""
    rollout, entry = Rollout.objects.get(), CacheEntry.objects.latest("pk")
    compared = StagePolicy.objects.get(stage="PARTIAL_ACTIVE")
    GuardPolicy.objects.get_or_create(policy=compared, guard="own_share", metric="refund", defaults={"at_most": 0})
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    run = recovery.roll_back(RunKind.STANDARD, actor=SYSTEM, reason="a test")
    recovery.execute_run(run)
    recovery.execute_run(recovery.undo(actor=SYSTEM))
    snapshots.create(actor=SYSTEM, reason="a test")
    stored = validate(Suite.EXIT, actor=SYSTEM).stored_as
    lifecycle.start(rollout, actor=SYSTEM, reason="a test")
    return [
        "/admin/",
        "/admin/rollout/rollout/",
        f"/admin/rollout/rollout/{rollout.pk}/change/",
        f"/admin/rollout/rollout/{rollout.pk}/pause/",
        f"/admin/rollout/stagepolicy/{StagePolicy.objects.latest('pk').pk}/change/",
        f"/admin/rollout/stagepolicy/{compared.pk}/change/",
        f"/admin/rollout/stagepolicy/{compared.pk}/guards/add/",
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
    """Return the serious faults that axe-core finds on the open page."""
    reader.run(AXE)
    serious: list[str] = reader.driver.execute_async_script(FAULTS)
    return serious


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(theme: str, admin: Reader) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    admin.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    faults_by_page: dict[str, list[str]] = {}
    for page in pages():
        admin.open(page)
        faults_by_page[page] = faults(admin)
    assert {page: serious for page, serious in faults_by_page.items() if serious} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_the_filters_and_the_actions_of_a_list(theme: str, admin: Reader) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    admin.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    admin.open("/admin/providers/providerstate/")
    admin.all("input.action-select")[0].click()
    assert admin.sees("1 of ")
    assert faults(admin) == []
    admin.press("Filters")
    assert admin.sees("By status")
    assert until(lambda: faults(admin) == []), faults(admin)  # a panel that fades in has a low contrast at first


def test_no_page_is_wider_than_a_phone(admin: Reader) -> None:
    admin.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    too_wide = []
    for page in pages():
        admin.open(page)
        if admin.run("return document.documentElement.scrollWidth") > PHONE["width"]:
            too_wide.append(page)
    assert too_wide == []


def test_a_list_splits_no_word_on_a_phone(admin: Reader) -> None:
    admin.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    split_words: dict[str, list[str]] = {}
    for page in pages():
        admin.open(page)
        split_words[page] = admin.run(SPLIT_WORDS)
    assert {page: words for page, words in split_words.items() if words} == {}


def test_the_keyboard_reaches_the_menu_and_the_filters(admin: Reader) -> None:
    admin.open("/admin/providers/providerstate/")
    reached = set()
    for _ in range(60):
        admin.driver.switch_to.active_element.send_keys(Keys.TAB)
        active = admin.driver.switch_to.active_element
        reached.add(active.get_attribute("aria-label") or next(iter(active.text.splitlines()), ""))
        assert active.value_of_css_property("outline-style") != "none", f"the focus is not visible on {active.text}"
        if active.text.startswith("Filters"):
            break
    assert {"Show or hide the menu", "Filters"} <= reached
    assert not any(element.is_displayed() for element in admin.all("#changelist-filter"))
    admin.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert until(lambda: any(element.is_displayed() for element in admin.all("#changelist-filter")))
