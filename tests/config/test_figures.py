"""The figures of /metrics: what is exported of the tables, in a form that Prometheus reads."""

import gzip

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from config.prometheus.exposition import PARTS
from providers.choices import Status
from providers.models import PollSlot, Provider, ProviderState
from tests.config.figures import families, labels, scrape
from tests.conftest import committed

ABBREVIATED = ("_ms", "_percent", "_minutes", "_kb", "_hit_ratio")


def test_each_status_of_a_provider_state_is_a_series_of_its_own(client: Client, state: ProviderState) -> None:
    before = scrape(client)["slipway_provider_state"]
    ProviderState.objects.filter(pk=state.pk).update(status=Status.ERROR)
    after = scrape(client)["slipway_provider_state"]
    assert before.keys() == after.keys(), "a change of status begins no new series"
    assert len(after) == 28 * len(Status)
    by_status = [after[labels(provider="stub", sport="NBA", status=status)] for status in Status]
    assert by_status == [0, 0, 1, 0]
    assert sum(after.values()) == 28


def test_the_counts_of_a_provider_state_come_from_its_row(client: Client, state: ProviderState) -> None:
    ProviderState.objects.filter(pk=state.pk).update(
        total_requests=7, successful_requests=5, failed_requests=2, last_prop_count=99, total_props_fetched=10**12
    )
    exported, stub = scrape(client), labels(provider="stub", sport="NBA")
    assert exported["slipway_fetches_total"][stub] == 7
    assert exported["slipway_fetches_good_total"][stub] == 5
    assert exported["slipway_fetches_failed_total"][stub] == 2
    assert exported["slipway_lines_offered"][stub] == 99
    assert exported["slipway_lines_fetched_total"][stub] == 10**12
    assert exported["slipway_slots_overdue"][labels()] == 8


def test_only_an_enabled_state_that_was_fetched_has_a_time_of_its_last_good_fetch(
    client: Client, state: ProviderState
) -> None:
    assert "slipway_provider_last_success_timestamp_seconds" not in scrape(client)
    ProviderState.objects.filter(provider__in=["stub", "betmgm"]).update(last_successful_fetch=Now())
    state.refresh_from_db()
    assert state.last_successful_fetch is not None
    exported = scrape(client)
    fetched, intervals = (
        exported[f"slipway_provider_{name}"] for name in ("last_success_timestamp_seconds", "poll_interval_seconds")
    )
    assert fetched[labels(provider="stub", sport="NBA")] == pytest.approx(state.last_successful_fetch.timestamp())
    assert {dict(each)["provider"] for each in fetched} == {"stub"}, "betmgm is not enabled"
    assert exported["slipway_provider_enabled"][labels(provider="betmgm", sport="NBA")] == 0
    assert len(intervals) == 12
    assert intervals[labels(provider="stub", sport="NBA")] == 300


def test_the_interval_is_the_one_that_the_credits_of_the_account_allow(client: Client, state: ProviderState) -> None:
    PollSlot.objects.filter(sport="NBA", adapter="odds_api").update(effective_interval_seconds=812.5)
    intervals = scrape(client)["slipway_provider_poll_interval_seconds"]
    assert intervals[labels(provider="stub", sport="NBA")] == 812.5
    assert intervals[labels(provider="stub", sport="NFL")] == 300


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash", "ends with \\", "two\nlines", "\\n", "100 %s"])
def test_any_name_of_a_provider_reaches_prometheus_unchanged(client: Client, fleet: None, name: str) -> None:
    provider = Provider.objects.create(name=name, adapter="odds_api")
    ProviderState.objects.create(provider=provider, sport_id="NBA", last_prop_count=5)
    assert scrape(client)["slipway_lines_offered"][labels(provider=name, sport="NBA")] == 5


def test_an_empty_fleet_exports_nothing_of_it(client: Client, db: None) -> None:
    exported = scrape(client)
    assert "slipway_provider_state" not in exported
    assert exported["slipway_collector_success"] == {labels(collector=part): 1 for part in PARTS}


def test_names_and_types_follow_the_conventions_of_prometheus(client: Client, state: ProviderState) -> None:
    ProviderState.objects.update(last_successful_fetch=Now())
    read = families(client)
    assert len({family.name for family in read}) == len(read), "each family comes in one piece"
    for family in read:
        assert family.name.startswith("slipway_")
        assert family.type in ("gauge", "counter", "histogram")
        assert family.documentation.endswith("."), family.name
        assert not family.name.endswith(ABBREVIATED), family.name
        assert "timestamp" not in family.name or family.name.endswith("_timestamp_seconds")
        if family.type == "counter":
            assert {sample.name for sample in family.samples} <= {f"{family.name}_total"}


def test_a_scraper_that_accepts_gzip_gets_it(client: Client, state: ProviderState) -> None:
    plain = client.get("/metrics")
    assert "Content-Encoding" not in plain.headers
    packed = client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.content) < len(plain.content) / 5
    assert gzip.decompress(packed.content).startswith(b"# HELP slipway_build_info ")


@committed
def test_without_its_database_it_exports_what_is_left(client: Client) -> None:
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    try:
        exported = scrape(client)
    finally:
        connection.settings_dict["HOST"] = host
    assert exported["slipway_collector_success"][labels(collector="provider_states")] == 0
    assert "slipway_slots_overdue" not in exported
