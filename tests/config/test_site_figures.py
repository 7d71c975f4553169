"""The figures of the installation as a whole in /metrics: its queues, its servers and its versions."""

import platform
import time

import django
import pytest
from django.test import Client
from pytest_django import Settings

from config import VERSION
from config.celery import app
from core.redis import client as redis_client
from core.redis import key
from core.tasks import enqueue
from tests.config.figures import labels, scrape
from tests.rollout.outages import no_redis

pytestmark = pytest.mark.django_db
TASKS, OLDEST = "slipway_queue_tasks", "slipway_queue_oldest_task_timestamp_seconds"


def test_a_queue_has_its_depth_and_the_time_of_its_oldest_task(client: Client) -> None:
    before = scrape(client)
    assert before[TASKS] == {labels(queue=queue): 0 for queue in ("control", "polls", "slow")}
    assert OLDEST not in before
    started = time.time()
    assert enqueue("rollout.tick", expires_seconds=5)
    between = time.time()
    app.send_task("validation.validate")  # as beat sends it
    assert enqueue("rollout.tick")
    after = scrape(client)
    assert after[TASKS] == {labels(queue="control"): 2, labels(queue="polls"): 0, labels(queue="slow"): 1}
    assert started <= after[OLDEST][labels(queue="control")] <= between <= after[OLDEST][labels(queue="slow")]
    redis_client().rpop(key("control"))  # a worker takes the oldest one
    assert scrape(client)[OLDEST][labels(queue="control")] >= between


@pytest.mark.parametrize("message", ['{"headers": {"task": "x"}}', '{"headers": {"published_at": "x"}}', "x"])
def test_a_task_of_an_older_version_counts_but_has_no_age(client: Client, message: str) -> None:
    redis_client().lpush(key("slow"), message)
    exported = scrape(client)
    assert exported[TASKS][labels(queue="slow")] == 1
    assert OLDEST not in exported


def test_connections_are_counted_beside_their_limits(client: Client) -> None:
    exported = scrape(client)
    used = sum(exported["slipway_database_connections"].values())
    assert 1 <= exported["slipway_database_connections"][labels(role="slipway")] <= used
    assert used <= exported["slipway_database_connections_limit"][labels()]
    assert 1 <= exported["slipway_redis_clients"][labels()] <= exported["slipway_redis_clients_limit"][labels()]


def test_a_process_that_listens_for_changes_is_counted(client: Client) -> None:
    before = scrape(client)["slipway_listening_processes"]
    subscription = redis_client().pubsub()  # type: ignore[no-untyped-call]
    subscription.subscribe(key("rollouts"))
    assert subscription.get_message(timeout=1)["type"] == "subscribe"
    after = scrape(client)["slipway_listening_processes"]
    subscription.close()
    assert after == before | {labels(channel="rollouts"): before[labels(channel="rollouts")] + 1}
    assert labels(channel="derived") in after


def test_the_versions_are_labels(client: Client) -> None:
    versions = labels(version=VERSION, python=platform.python_version(), django=django.get_version())
    assert scrape(client)["slipway_build_info"] == {versions: 1}


def test_without_redis_it_exports_the_tables_and_names_what_is_missing(client: Client, settings: Settings) -> None:
    with no_redis(settings):
        exported = scrape(client)
    success = exported["slipway_collector_success"]
    missing = {dict(part)["collector"] for part, measured in success.items() if not measured}
    assert missing == {"observations", "control_loop", "requests", "queues", "redis"}
    assert "slipway_rollout_stage" in exported
    assert "slipway_rollout_observations_total" not in exported
