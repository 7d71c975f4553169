"""The requests in /metrics: counted by route in every process, added up in Redis, and never by path."""

import pytest
from django.test import Client
from pytest_django import Settings
from redis import TimeoutError

from config.middleware.request_counter import BOUNDS, CountedRequest, RequestCounter, requests
from core.redis import client as redis_client
from tests.config.figures import Labels, labels, scrape
from tests.rollout.outages import no_redis

pytestmark = pytest.mark.django_db
COUNT, SECONDS = "slipway_http_requests_total", "slipway_http_request_duration_seconds"
TOKEN = {"Authorization": "Bearer let-me-in"}
GOOD = CountedRequest("GET", "/healthz", 200, 0.02)


def scraped(client: Client) -> dict[str, dict[Labels, float]]:
    requests().flush()
    return scrape(client)


def routes(series: dict[Labels, float]) -> set[str]:
    return {dict(each)["route"] for each in series}


def test_requests_are_counted_by_method_route_and_class_of_the_status(client: Client, fleet: None) -> None:
    for subject in ("points", "rebounds", "made-up"):
        client.get(f"/api/v1/derived/correlation/nba/{subject}", headers=TOKEN)
    client.get("/api/v1/derived/correlation/nba/points")
    client.head("/healthz")
    counts = scraped(client)[COUNT]
    derived = "/api/v1/derived/<cache_type>/<sport>/<subject>"
    assert {dict(each)["route"] for each in counts} == {derived, "/healthz"}
    assert counts[labels(method="HEAD", route="/healthz", status="2xx")] == 1
    assert sum(count for each, count in counts.items() if ("route", derived) in each) == 4


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/admin/rollout/rollout/1/change/", "/admin/rollout/rollout/<path:object_id>/change/"),
        ("/admin/nothing/here/", "/admin/<url>"),
        ("/ofrep/v1/evaluate/flags/derived-data", "/ofrep/v1/evaluate/flags/<key>"),
        ("/nothing/here", "unresolved"),
        ("/static/none.css", "unresolved"),
    ],
)
def test_a_path_is_counted_by_its_template(client: Client, path: str, route: str) -> None:
    client.get(path)
    assert routes(scraped(client)[COUNT]) == {route}


def test_no_client_makes_up_series(client: Client) -> None:
    for number in range(20):
        client.get(f"/no/such/page/{number}")
        client.generic(f"VERB{number}", "/healthz")
    exported = scraped(client)
    assert routes(exported[COUNT]) == {"unresolved", "/healthz"}
    assert exported[COUNT][labels(method="GET", route="unresolved", status="4xx")] == 20
    assert exported[COUNT][labels(method="other", route="/healthz", status="4xx")] == 20


def test_the_time_of_a_request_is_a_histogram_of_its_route(client: Client) -> None:
    for seconds in (0.001, 0.005, 0.02, 9.0, 60.0):
        requests().count(GOOD._replace(seconds=seconds))
    exported = scraped(client)
    buckets = {float(dict(each)["le"]): count for each, count in exported[f"{SECONDS}_bucket"].items()}
    assert list(buckets) == [*BOUNDS, float("inf")]
    assert [buckets[bound] for bound in (0.005, 0.01, 0.025, 5.0, 10.0, float("inf"))] == [2, 2, 3, 3, 4, 5]
    assert exported[f"{SECONDS}_count"] == {labels(route="/healthz"): 5}
    assert exported[f"{SECONDS}_sum"][labels(route="/healthz")] == pytest.approx(69.026)


def test_any_process_answers_the_requests_of_all(client: Client) -> None:
    for counter in (RequestCounter(), RequestCounter()):
        counter.count(GOOD)
        counter.count(GOOD)
        assert counter.flush()
    assert scrape(client)[COUNT] == {labels(method="GET", route="/healthz", status="2xx"): 4}


def test_a_request_calls_no_redis(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("a request called Redis")

    with monkeypatch.context() as patched:
        patched.setattr(redis_client(), "execute_command", fail)
        assert client.get("/healthz").status_code == 200
    assert scraped(client)[COUNT] == {labels(method="GET", route="/healthz", status="2xx"): 1}


def test_without_redis_requests_stay_counted_until_it_is_back(client: Client, settings: Settings) -> None:
    counter = RequestCounter()
    with no_redis(settings):
        for _ in range(3):
            counter.count(GOOD)
            assert counter.flush() is False
    counter.count(GOOD)
    assert counter.flush() is True
    assert sum(scrape(client)[COUNT].values()) == 4


def test_a_batch_that_arrived_without_an_answer_counts_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, real_eval = RequestCounter(), redis_client().eval

    def eval_without_answer(*arguments: object) -> None:
        real_eval(*arguments)  # type: ignore[arg-type]
        raise TimeoutError

    monkeypatch.setattr(redis_client(), "eval", eval_without_answer)
    counter.count(GOOD)
    assert counter.flush() is False
    monkeypatch.undo()
    counter.count(GOOD)
    assert counter.flush() is True
    assert sum(scrape(client)[COUNT].values()) == 2


def test_an_error_of_a_page_is_counted_as_5xx(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr("config.probes._database_state", lambda: 1 / 0)
    assert client.get("/readyz").status_code == 500
    assert scraped(client)[COUNT] == {labels(method="GET", route="/readyz", status="5xx"): 1}
