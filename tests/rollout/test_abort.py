"""An abort needs the rollout's row alone: policies, readings, history, Redis and apps may all be broken."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from core.access.actors import Machine
from core.errors import Refused
from rollout.choices import Stage
from rollout.control import feeds, loop
from rollout.control.assessment import assess
from rollout.control.feeds import FeedCounts
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, runtime
from rollout.models import Rollout, StagePolicy, Transition
from rollout.operations import lifecycle
from rollout.status import read_status
from tests.conftest import committed
from tests.rollout.outages import locked, no_redis

NAME = "derived-data"
ANNA = Machine("anna")
OTHER_TABLES = [
    "rollout_stagepolicy",
    "rollout_guardpolicy",
    "rollout_guardreading",
    "rollout_transition",
    "rollout_stagepolicyevent",
    "rollout_guardpolicyevent",
    "pghistory_context",
]
Browse = Callable[[str], Client]
Stages = Callable[..., None]


def rollout() -> Rollout:
    return Rollout.objects.get(name=NAME)


def address(page: str) -> str:
    return f"/admin/rollout/rollout/{rollout().pk}/{page}/"


@pytest.fixture
def watchers(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """The functions that count feeds. A test registers its own; they are gone after it."""
    counters: list[Callable[[], Any]] = [lambda: FeedCounts(healthy=3, failing=1)]
    monkeypatch.setattr(feeds, "_counters", counters)
    return counters


def raising() -> FeedCounts:
    raise RuntimeError("the feeds of the app are gone")


def break_policy() -> None:
    """Store a stage of a million years, which the release before let pass."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE rollout_stagepolicy DROP CONSTRAINT stage_policy_minutes_in_range")
    StagePolicy.objects.update(minutes=1e12)


def remove_policy() -> None:
    StagePolicy.objects.filter(stage="DARK_MODE").delete()


@committed
def test_an_abort_works_while_every_other_table_is_locked(at_stage: Stages, browse: Browse) -> None:
    at_stage("FULL_ACTIVE", percent=100)
    operator = browse("Operator")
    shared = runtime.shared()
    shared.states.refresh()
    assert gate(NAME).decide("user-6") is Arm.CANDIDATE
    with locked(*OTHER_TABLES):
        assert operator.get(address("abort")).status_code == 200
        assert operator.post(address("abort"), {"seen": 0, "reason": "wrong odds"}).status_code == 302
        assert (rollout().stage, rollout().run_state, rollout().percent) == ("DISABLED", "idle", 0)
        shared.states.refresh()  # the policies cannot be read, so the gate does not know the new stage
        assert gate(NAME).decide("user-6") is Arm.CONTROL
        loop.tick()  # cannot write the history either
    assert not Transition.objects.exists()
    loop.tick()
    transition = Transition.objects.get()
    assert (transition.verb, transition.from_stage, transition.to_stage) == ("abort", "FULL_ACTIVE", "DISABLED")
    assert (transition.actor, transition.reason, transition.epoch) == ("operator", "wrong odds", rollout().epoch)
    assert transition.at <= rollout().stage_entered_at
    loop.tick()
    assert Transition.objects.count() == 1


@committed
def test_the_next_verb_writes_the_abort_that_the_history_lacks(at_stage: Stages) -> None:
    at_stage("DARK_MODE")
    with locked("rollout_transition"):
        aborted = lifecycle.abort(rollout(), actor=ANNA, reason="odd")
        assert (aborted.to_stage, aborted.reason) == ("DISABLED", "odd")
        assert aborted.pk is None  # not stored yet
        assert "odd" in str(rollout().unrecorded_transition)
    lifecycle.start(rollout(), actor=ANNA, reason="again")
    verbs = list(Transition.objects.order_by("epoch").values_list("verb", "reason"))
    assert verbs == [("abort", "odd"), ("start", "again")]
    assert rollout().unrecorded_transition is None


@committed
def test_a_verb_that_cannot_be_recorded_gives_the_row_back_to_an_abort(at_stage: Stages) -> None:
    at_stage("DARK_MODE")
    with locked("rollout_transition"):
        with pytest.raises(Refused, match="cannot pause derived-data: its history cannot be used"):
            lifecycle.pause(rollout(), actor=ANNA, reason="")
        assert rollout().run_state == "running"
        lifecycle.abort(rollout(), actor=ANNA, reason="")
    assert rollout().stage == "DISABLED"


@committed
def test_the_pages_do_not_wait_for_a_lock(at_stage: Stages, browse: Browse) -> None:
    at_stage("DARK_MODE")
    operator = browse("Operator")
    with locked("rollout_stagepolicy", "rollout_guardpolicy"):
        for shown in (operator.get("/admin/live/"), operator.get(address("live"))):
            assert "cannot be judged: canceling statement due to lock timeout" in shown.content.decode()
        with pytest.raises(Refused, match="cannot descend derived-data: its policies cannot be used"):
            lifecycle.descend(rollout(), Stage.SHADOW_MODE, 0, actor=ANNA, reason="")
        response = operator.get(address("change"), follow=True)
        assert "cannot show the page: another session locks a table" in response.content.decode()
    with locked("rollout_transition", "rollout_guardreading"):
        live = operator.get(address("live"))
        assert "verb-abort" in live.content.decode(), "it lacks its charts alone"
        assert live.context["charts"] == []
        assert operator.get(address("timeline")).status_code == 204  # the browser keeps what it shows


@committed
def test_the_home_page_and_the_lists_do_not_wait_for_the_history(at_stage: Stages, browse: Browse) -> None:
    at_stage("DARK_MODE")
    operator = browse("Operator")
    with locked("rollout_transition", "rollout_stagepolicyevent", "rollout_guardpolicyevent", "pghistory_context"):
        home = operator.get("/admin/")
        assert "Another session locks what these need: changes" in home.content.decode()
        assert 'id="abort-derived-data"' in home.content.decode()
        assert operator.get("/admin/rollout/stagepolicy/").status_code == 200
        for page in ("rollout/transition", "pghistory/context"):
            shown = operator.get(f"/admin/{page}/", follow=True).content.decode()
            assert "cannot show the page: another session locks a table" in shown
    with locked("rollout_stagepolicy"):
        shown = operator.get("/admin/rollout/stagepolicy/", follow=True).content.decode()
        assert "cannot show the page: another session locks a table" in shown
    with locked("rollout_activation"):
        assert "Another session locks what these need: banners" in operator.get("/admin/live/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("break_it", [break_policy, remove_policy])
def test_a_policy_that_cannot_be_judged_hides_nothing_and_blocks_no_verb(
    at_stage: Stages, browse: Browse, break_it: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    at_stage("DARK_MODE")
    break_it()
    operator = browse("Operator")
    for page in (address("change"), address("live"), "/admin/", address("pause"), address("abort")):
        response = operator.get(page)
        assert response.status_code == 200
        is_named = break_it is remove_policy and not page.endswith(("pause/", "abort/"))
        assert ("cannot be judged" in response.content.decode()) is is_named
    assert bool(read_status(rollout()).as_json()["cannot_judge"]) is (break_it is remove_policy)
    call_command("rollout", "status")
    expected = "cannot be judged: " if break_it is remove_policy else "stay in DARK_MODE: 5999999999"
    assert f"next: {expected}" in capsys.readouterr().out
    for verb, run_state in (("pause", "paused"), ("resume", "running")):
        assert operator.post(address(verb), {"seen": rollout().epoch, "reason": ""}).status_code == 302
        assert rollout().run_state == run_state
    refused = operator.post(address("advance"), {"seen": rollout().epoch, "reason": ""}, follow=True)
    cause = "it cannot be judged" if break_it is remove_policy else "its guards do not pass"
    assert f"cannot advance derived-data: {cause}" in refused.content.decode()
    call_command("rollout", "abort", "--reason", "wrong odds")
    assert (rollout().stage, Transition.objects.first().reason) == ("DISABLED", "wrong odds")  # type: ignore[union-attr]


@pytest.mark.django_db
def test_a_trip_cools_down_without_a_policy(at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    runtime.shared().states.refresh()
    for _ in range(6):
        gate(NAME).observe(Arm.CANDIDATE, 1.0, is_error=True)
    runtime.shared().flush()
    StagePolicy.objects.all().delete()
    lifecycle.abort(rollout(), actor=ANNA, reason="")
    assert rollout().run_state == "cooling"


@pytest.mark.django_db
def test_an_abort_acts_on_the_rollout_as_it_is_now(at_stage: Stages) -> None:
    at_stage("DARK_MODE")
    seen = rollout()
    lifecycle.pause(seen, actor=ANNA, reason="")
    lifecycle.abort(seen, actor=ANNA, reason="")
    assert (rollout().stage, rollout().paused_at) == ("DISABLED", None)
    with pytest.raises(Refused, match="cannot abort derived-data: it is disabled already"):
        lifecycle.abort(seen, actor=ANNA, reason="")


@pytest.mark.django_db
def test_an_abort_without_redis(at_stage: Stages, settings: Settings, browse: Browse) -> None:
    at_stage("DARK_MODE")
    operator = browse("Operator")
    with no_redis(settings):
        assert operator.post(address("abort"), {"seen": 0, "reason": ""}).status_code == 302
        assert rollout().stage == "DISABLED"


@pytest.mark.django_db
def test_an_abort_is_recorded_with_the_judgments_of_the_stage_that_it_ends(at_stage: Stages, browse: Browse) -> None:
    at_stage("DARK_MODE")
    browse("Operator").post(address("abort"), {"seen": 0, "reason": ""})
    assert {judgment["guard"] for judgment in Transition.objects.get().evidence} == {
        *("traffic", "errors", "p95_ms", "hit_rate", "feed_health")
    }


@pytest.mark.django_db
def test_a_watcher_that_raises_blocks_no_verb_and_makes_feed_health_not_measurable(
    at_stage: Stages, browse: Browse, watchers: list[Callable[[], Any]], caplog: pytest.LogCaptureFixture
) -> None:
    at_stage("DARK_MODE")
    heartbeat.beat()
    caplog.set_level(logging.ERROR)
    watchers.append(raising)
    for _ in range(2):
        verdicts = {judgment.guard.value: judgment.verdict.value for judgment in assess(rollout()).judgments}
        assert verdicts["feed_health"] == "ERROR"
    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict) and "watcher" in record.msg]
    assert [entry["watcher"] for entry in logged] == ["tests.rollout.test_abort.raising"]
    shown = browse("Operator").get(address("live")).content.decode()
    assert (
        "Feeds watched: 4 (3 healthy, 1 failing, 0 inactive); not measurable: tests.rollout.test_abort.raising" in shown
    )
    watchers.remove(raising)
    judged = {judgment.guard.value: judgment for judgment in assess(rollout()).judgments}
    assert judged["feed_health"].value == 0.25
    watchers.append(raising)
    lifecycle.abort(rollout(), actor=ANNA, reason="")
    assert rollout().stage == "DISABLED"


@pytest.mark.django_db
def test_a_watcher_whose_statement_fails_leaves_the_transaction_usable(
    at_stage: Stages, watchers: list[Callable[[], Any]]
) -> None:
    def failing() -> FeedCounts:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM a_table_that_is_gone")
        return FeedCounts()

    at_stage("DARK_MODE")
    watchers[:] = [failing, lambda: None, lambda: FeedCounts(healthy=2)]
    status = read_status(rollout())
    assert (status.feeds.healthy, len(status.feeds.broken)) == (2, 2)
    assert status.cannot_judge == ""
