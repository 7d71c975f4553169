"""Validation in the admin and in /metrics: the board, the history of each check, and starting a run."""

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
    """Return the findings of the checks "one" and "two" of the exit suite, which a test may replace."""
    findings = {"one": GOOD, "two": GOOD}
    check("one", "first")(lambda view: findings["one"])
    check("two", "second")(lambda view: findings["two"])
    check("three", "third", Suite.EXTENDED)(lambda view: GOOD)
    return findings


def page(browser: Client, address: str = LIST) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_before_the_first_run_the_page_names_the_command(browse: Browse) -> None:
    html = page(browse("Viewer"))
    assert "Not run yet." in html
    assert "python manage.py validate" in html
    assert "Run now" not in html


def test_the_board_names_the_offending_rows_and_links_to_them(findings: dict[str, Finding], browse: Browse) -> None:
    operations.validate(actor=SYSTEM)
    findings["two"] = BAD
    operations.validate(actor=SYSTEM)
    viewer = browse("Viewer")
    html = page(viewer)
    assert "1 of 2 passed" in html
    assert '<a href="/admin/providers/providerstate/1/change/">stub &lt;NBA&gt;</a>' in html
    assert "<li>and 28 more</li>" in html
    assert "→ mend it" in html
    assert 'aria-label="two: 1 of the last 2 runs failed"' in html
    assert 'aria-label="one: 0 of the last 2 runs failed"' in html
    run = ValidationRun.objects.latest("pk")
    assert "one is wrong" in page(viewer, f"{LIST}{run.pk}/change/")


def test_only_a_user_with_the_permission_starts_a_run(findings: dict[str, Finding], browse: Browse) -> None:
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
    exported = client.get("/metrics").content.decode()
    assert 'slipway_check_passed{category="first",check="one",suite="exit"} 1.0' in exported
    assert 'slipway_check_passed{category="second",check="two",suite="exit"} 0.0' in exported
    assert 'slipway_validation_run_timestamp_seconds{suite="exit"}' in exported
