"""Validation in the admin and in /metrics: the board, the strips, and running it."""

from collections.abc import Callable

import pytest
from django.test import Client

from core.access.actors import SYSTEM
from core.health_checks import Finding, Result, Suite, check, judged
from tests.conftest import committed
from validation import operations
from validation.models import ValidationRun

pytestmark = committed
LIST = "/admin/validation/validationrun/"
RUN = f"{LIST}run/exit/"
Browse = Callable[[str], Client]
GOOD = Finding(Result.PASS, "28", "24", "all there")
BAD = judged(
    False,
    "1 of them",
    "0",
    "one is wrong",
    remedy="mend it",
    offending=["stub <NBA>", "other"],
    count=30,
    links={"stub <NBA>": "/admin/providers/providerstate/1/change/"},
)


@pytest.fixture
def findings(registry: None) -> dict[str, Finding]:
    found = {"one": GOOD, "two": GOOD}
    check("one", "first")(lambda view: found["one"])
    check("two", "second")(lambda view: found["two"])
    check("three", "third", Suite.EXTENDED)(lambda view: GOOD)
    return found


def page(browser: Client, address: str = LIST) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_before_the_first_run_it_says_how_to_get_one(browse: Browse) -> None:
    shown = page(browse("Viewer"))
    assert "Not run yet." in shown
    assert "python manage.py validate" in shown
    assert "Run now" not in shown


def test_the_board_names_what_is_wrong_with_a_way_there(findings: dict[str, Finding], browse: Browse) -> None:
    operations.validate(actor=SYSTEM)
    findings["two"] = BAD
    operations.validate(actor=SYSTEM)
    viewer = browse("Viewer")
    shown = page(viewer)
    assert "1 of 2 passed" in shown
    assert '<a href="/admin/providers/providerstate/1/change/">stub &lt;NBA&gt;</a>' in shown
    assert "<li>and 28 more</li>" in shown
    assert "→ mend it" in shown
    assert 'aria-label="two: 1 of the last 2 runs failed"' in shown
    assert 'aria-label="one: 0 of the last 2 runs failed"' in shown
    run = ValidationRun.objects.latest("pk")
    assert "one is wrong" in page(viewer, f"{LIST}{run.pk}/change/")


def test_whoever_may_runs_it(findings: dict[str, Finding], browse: Browse) -> None:
    operator = browse("Operator")
    assert "2 checks look at the database" in page(operator, RUN)
    assert not ValidationRun.objects.exists()
    answer = operator.post(RUN, follow=True).content.decode()
    assert "Exit criteria: PASS, 2 of 2 passed" in answer
    run = ValidationRun.objects.get()
    assert (run.requested_by, run.overall) == ("operator", "PASS")
    viewer = browse("Viewer")
    assert viewer.get(RUN).status_code == 403
    assert viewer.post(RUN).status_code == 403


def test_prometheus_reads_the_newest_results(findings: dict[str, Finding], client: Client) -> None:
    findings["two"] = BAD
    operations.validate(actor=SYSTEM)
    told = client.get("/metrics").content.decode()
    assert 'slipway_check_passed{category="first",check="one",suite="exit"} 1.0' in told
    assert 'slipway_check_passed{category="second",check="two",suite="exit"} 0.0' in told
    assert 'slipway_validation_run_timestamp_seconds{suite="exit"}' in told
