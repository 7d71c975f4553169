"""A rollout as its operator sees it: it starts, advances and trips while the page stays open; a policy is edited."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from rollout.choices import Guard, Verdict
from rollout.control.loop import tick
from rollout.decisions.stages import Arm
from rollout.gate import gate, runtime
from rollout.models import GuardReading, Rollout
from rollout.operations import lifecycle
from tests.browser.reader import Reader
from tests.browser.test_pages import PHONE, faults
from tests.conftest import look

NAME = "derived-data"
SignedIn = Callable[[str], Reader]


def address() -> str:
    return f"/admin/rollout/rollout/{Rollout.objects.get().pk}/change/"


def traffic(requests: int = 60, errors: int = 0) -> None:
    """Count requests to both arms in this process, which is not one of the site's."""
    own = runtime.shared()
    look(own.states)
    for number in range(requests):
        gate(NAME).observe(Arm.CONTROL, 10.0)
        gate(NAME).observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=True, is_same=True)
    own.flush()


def end_the_stages_time() -> None:
    past = Now() - timedelta(hours=1)
    Rollout.objects.update(percent_entered_at=past, stage_entered_at=past)


@pytest.fixture
def operator(signed_in: SignedIn) -> Reader:
    reader = signed_in("Operator")
    reader.open(address())
    return reader


def start(operator: Reader) -> None:
    operator.press("Start")
    assert operator.sees("It moves from Disabled to Dark mode.")
    operator.type("reason", "a quiet night")
    operator.press("Start")
    assert operator.sees("Dark mode ▶ Running")


def test_the_page_shows_an_advance_without_a_reload(operator: Reader) -> None:
    start(operator)
    operator.run("window.opened = 1")
    traffic()
    end_the_stages_time()
    assert tick() == 1
    assert operator.sees("Shadow mode ▶ Running")
    assert operator.sees("advance: Dark mode → ◑ Shadow mode"), "the timeline has it too"
    assert operator.run("return window.opened") == 1


def test_the_page_shows_a_trip(operator: Reader) -> None:
    start(operator)
    traffic()
    end_the_stages_time()
    tick()
    assert operator.sees("Shadow mode ▶ Running")
    operator.run("window.opened = 1")
    traffic(errors=6)
    tick()
    assert operator.sees("Disabled ❄ Cooling down")
    assert operator.sees("it tripped: the hard limit of errors was exceeded, with 6 errors")
    operator.open("/admin/")
    assert operator.sees("Needs attention")
    assert operator.sees("derived-data: cooling down")


def test_the_charts_and_the_table_fit_a_phone_and_both_themes(operator: Reader) -> None:
    rollout = lifecycle.start(Rollout.objects.get(), actor=SYSTEM, reason="a test").rollout
    Rollout.objects.update(stage_entered_at=Now() - timedelta(minutes=10))
    for minutes, verdict in ((9, Verdict.INCONCLUSIVE), (8, Verdict.ERROR), (1, Verdict.PASS), (0, Verdict.PASS)):
        GuardReading.objects.create(
            **{"rollout": rollout, "epoch": rollout.epoch, "stage": "DARK_MODE", "guard": Guard.HIT_RATE},
            **{"name": "hit_rate", "limit": 0.7, "samples": 60, "verdict": verdict, "bound": 0.75},
            **{"value": 0.9, "control": 0.95, "at": Now() - timedelta(minutes=minutes)},
        )
    traffic()
    operator.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    for theme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": theme}]
        operator.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        operator.open(address())
        assert operator.sees("surely at least 8")
        assert operator.run("return document.documentElement.scrollWidth") == PHONE["width"]
        assert faults(operator) == []
        line, limit = operator.all("svg .sw-candidate")[1], operator.all("svg .sw-limit")[1]
        assert line.value_of_css_property("stroke") != limit.value_of_css_property("stroke")
        assert limit.value_of_css_property("stroke-dasharray") != "none"
    cells = [cell for cell in operator.all(".sw-guards td") if cell.is_displayed()]
    assert {cell.value_of_css_property("display") for cell in cells} == {"grid"}, "each row is a block"
    label = operator.run("return getComputedStyle(arguments[0], '::before').content", cells[0])
    assert label == '"Verdict"'


def test_a_freeze_shows_a_banner_and_stops_no_trip(operator: Reader) -> None:
    operator.open("/admin/rollout/rollout/")
    operator.press("Freeze all automatic advances")
    operator.type("reason", "the finals")
    operator.press("Freeze")
    assert operator.sees("Advancing is off since")
    lifecycle.start(Rollout.objects.get(), actor=SYSTEM, reason="a test")
    traffic()
    end_the_stages_time()
    assert tick() == 0
    Rollout.objects.update(stage="SHADOW_MODE")
    traffic(errors=6)
    assert tick() == 1
    operator.open(address())
    assert operator.sees("Disabled ❄ Cooling down")
    assert operator.sees("by operator: the finals")


def test_an_edit_of_a_policy_is_in_its_history(signed_in: SignedIn) -> None:
    admin = signed_in("Admin")
    admin.open(address())
    admin.type("policies-0-minutes", "4")
    admin.press("Save and continue editing")
    assert admin.sees("minutes 10 → 4")
    admin.press("History")
    assert admin.sees("change, by admin")
    assert [cell.text for cell in admin.all(".sw-words td")][:2] == ["10", "4"]
