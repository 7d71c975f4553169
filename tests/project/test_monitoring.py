"""The files under ops/: each alert is described, tested and explained, and names only figures that /metrics exports."""

import json
import re
from collections import defaultdict

import msgspec
import pytest
from django.db.models.functions import Now
from django.test import Client

from providers.models import ProviderState
from tests.config.figures import families
from tests.databases import ROOT
from tests.monitoring import VARIABLES, dashboard_queries

PROMETHEUS = ROOT / "ops" / "prometheus"
INCIDENTS = ROOT / "docs" / "incidents.md"
NOT_ON_THE_DASHBOARD = {
    "slipway_fetches_total",
    "slipway_lines_fetched_total",
    "slipway_rollout_last_trip_timestamp_seconds",  # it shows the count of trips
}
NAME = re.compile(r"\bslipway_[a-z0-9_]+")


class Rule(msgspec.Struct):
    alert: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Group(msgspec.Struct):
    rules: list[Rule]


class RuleFile(msgspec.Struct):
    groups: list[Group]


class Expectation(msgspec.Struct):
    expr: str
    exp_samples: list[dict[str, object]] = []


class Scenario(msgspec.Struct):
    name: str
    promql_expr_test: list[Expectation] = []


class TestFile(msgspec.Struct):
    __test__ = False  # no test of pytest

    tests: list[Scenario]


def rules() -> list[Rule]:
    read = msgspec.yaml.decode((PROMETHEUS / "rules.yml").read_bytes(), type=RuleFile)
    return [rule for group in read.groups for rule in group.rules]


def sections() -> list[str]:
    """Return the anchors of the alerts' sections on the page of incidents."""
    _, _, alerts = INCIDENTS.read_text().partition("\n## Alerts\n")
    return [heading.lower() for heading in re.findall(r"^### (\w+)$", alerts, re.MULTILINE)]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.alert)
def test_an_alert_has_a_severity_its_texts_and_a_runbook(rule: Rule) -> None:
    assert rule.labels["severity"] in ("critical", "warning", "info")
    for text in ("summary", "description"):
        assert rule.annotations[text].endswith("."), text
    path, _, anchor = (
        rule.annotations["runbook_url"].removeprefix("{{ $externalLabels.slipway_source }}").partition("#")
    )
    assert (ROOT / path) == INCIDENTS
    assert anchor in sections()


def test_each_section_of_the_runbook_belongs_to_one_alert() -> None:
    assert sorted(sections()) == sorted(rule.alert.lower() for rule in rules())


def test_each_alert_is_tested_both_quiet_and_firing() -> None:
    read = msgspec.yaml.decode((PROMETHEUS / "rules_test.yml").read_bytes(), type=TestFile)
    shown: dict[str, set[bool]] = defaultdict(set)
    for scenario in read.tests:
        for expectation in scenario.promql_expr_test:
            for alert in re.findall(r'^ALERTS\{alertname="(\w+)"', expectation.expr):
                shown[alert].add(bool(expectation.exp_samples))
    assert {alert for alert, seen in shown.items() if seen == {True, False}} == {rule.alert for rule in rules()}


@pytest.fixture
def exported(client: Client, fleet: None) -> set[str]:
    """The names of all series that /metrics can have."""
    ProviderState.objects.update(last_successful_fetch=Now())
    suffixes = {"gauge": [""], "counter": ["_total"], "histogram": ["", "_bucket", "_sum", "_count"]}
    return {family.name + suffix for family in families(client) for suffix in suffixes[family.type]}


def test_the_alerts_name_only_figures_that_are_exported(exported: set[str]) -> None:
    named = {name for rule in rules() for name in NAME.findall(rule.expr)}
    assert len(named) > 20
    assert named <= exported


def test_the_dashboard_names_only_figures_that_are_exported(exported: set[str]) -> None:
    named = {name for query in dashboard_queries() for name in NAME.findall(query.expr)}
    families_shown = {re.sub("_(bucket|sum|count)$", "", name) for name in named}
    assert named <= exported
    families_exported = {re.sub("_(bucket|sum|count)$", "", name) for name in exported}
    assert families_exported - families_shown <= NOT_ON_THE_DASHBOARD


def test_each_panel_of_the_dashboard_is_described_and_uses_the_chosen_data_source() -> None:
    dashboard = json.loads((ROOT / "ops" / "grafana" / "slipway.json").read_text())
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Rollouts", "Fleet", "Caches", "HTTP", "Queues and heartbeats", "Recovery"]
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    variables = {f"${variable['name']}" for variable in dashboard["templating"]["list"]}
    assert variables == {name for name in VARIABLES if not name.startswith("$__")} | {"$datasource"}


def test_each_query_of_the_dashboard_is_run_without_variables() -> None:
    assert [query for query in dashboard_queries() if "$" in query.as_prometheus_takes_it()] == []


def test_the_pages_name_only_figures_that_are_exported(exported: set[str]) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert set(re.findall(r"`(slipway_[a-z0-9_]+)[`{]", page.read_text())) <= exported, page
