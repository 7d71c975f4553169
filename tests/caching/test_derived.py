"""Derived values through the gate: where each stage's answers come from, what it counts and what it compares."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from caching.choices import HITS
from caching.models import CacheEntry, CacheTarget
from caching.serving.gated import is_close
from caching.tiers.entries import ENTRIES
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from providers.models import GameLog
from rollout.decisions.counts import Counts
from rollout.decisions.stages import Arm
from rollout.gate import mismatches, runtime
from tests.conftest import committed
from tests.processes import until
from tests.rollout.counted import read_counts

pytestmark = pytest.mark.django_db
NAME = "derived-data"
ABOUT = "factor:nba:model"
URL = "/api/v1/derived/factor/nba/model"
UNKNOWN_PLAYER = "/api/v1/derived/player/nba/nobody"
IN, OUT = "user-6", "user-1"  # below 10 %, and above 50 %
Stages = Callable[..., None]


def ask(url: str = URL, by: str = IN) -> dict[str, Any]:
    answer = Client().get(url, headers={"Authorization": "Bearer let-me-in", "X-Targeting-Key": by})
    return {"status": answer.status_code, **answer.json()}


def counted(arm: Arm) -> Counts:
    process = runtime.shared()
    process.flush()
    visit = process.states.visit_of(NAME)
    assert visit is not None
    return read_counts(arm, visit)


def warm_factor() -> None:
    warm(CacheTarget.objects.filter(cache_type="CACHE_FACTOR", sport="NBA"), actor=SYSTEM, force=True)


@pytest.mark.parametrize(
    ("stage", "of_in", "of_out"),
    [
        ("DISABLED", "computed", "computed"),
        ("DARK_MODE", "computed", "computed"),
        ("PARTIAL_ACTIVE", "cache", "computed"),
        ("FULL_ACTIVE", "cache", "cache"),
    ],
)
def test_each_stage_answers_from_its_arm(nba: None, at_stage: Stages, stage: str, of_in: str, of_out: str) -> None:
    warm_factor()
    at_stage(stage, percent=10)
    answers = [ask(by=user) for user in (IN, OUT)]
    assert [answer["served_from"] for answer in answers] == [of_in, of_out]
    assert {answer["stage"] for answer in answers} == {stage}
    assert answers[0]["value"] == answers[1]["value"]


def test_the_log_entry_names_the_token_the_arm_and_the_tier(
    nba: None, at_stage: Stages, request_entries: Callable[[], list[dict[str, Any]]]
) -> None:
    for stage in ("DISABLED", "FULL_ACTIVE", "FULL_ACTIVE"):
        at_stage(stage)
        ask()
    ask(UNKNOWN_PLAYER)
    *answered, unknown = request_entries()
    assert [entry["arm"] for entry in answered] == ["control", "candidate", "candidate"]
    computed, stored, cached = (entry["served_from"] for entry in answered)
    assert (computed, stored) == ("computed", "computed")
    assert cached in HITS
    assert {entry["token"] for entry in (*answered, unknown)} == {"tests"}
    assert "served_from" not in unknown
    assert "let-me-in" not in str(answered)


def test_without_a_targeting_key_the_tokens_name_is_one(nba: None, at_stage: Stages) -> None:
    """The name of the tests' token, `tests`, falls into a bucket above 50 %."""
    warm_factor()
    at_stage("PARTIAL_ACTIVE", percent=50)
    assert ask(by="")["served_from"] == ask(by="tests")["served_from"] == "computed"
    at_stage("PARTIAL_ACTIVE", percent=100)
    assert ask(by="")["served_from"] == "cache"


@committed
def test_dark_mode_probes_the_cache(nba: None, at_stage: Stages) -> None:
    at_stage("DARK_MODE")
    ask()
    assert until(lambda: counted(Arm.CANDIDATE).misses == 1)
    warm_factor()
    ask()
    assert until(lambda: counted(Arm.CANDIDATE).hits == 1)
    candidate = counted(Arm.CANDIDATE)
    assert (candidate.hits, candidate.misses, candidate.errors) == (1, 1, 0)
    assert counted(Arm.CONTROL).requests == 2


def test_the_candidates_hits_and_misses_count(nba: None, at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    assert [ask()["served_from"] for _ in range(3)] == ["computed", "cache", "cache"]
    candidate = counted(Arm.CANDIDATE)
    assert (candidate.requests, candidate.hits, candidate.misses, candidate.errors) == (3, 2, 1, 0)


@pytest.mark.parametrize("stage", ["DARK_MODE", "PARTIAL_ACTIVE", "FULL_ACTIVE"])
def test_a_request_that_neither_arm_can_answer_is_no_failure_of_the_candidate(at_stage: Stages, stage: str) -> None:
    at_stage(stage, percent=50)
    assert [ask(UNKNOWN_PLAYER)["status"] for _ in range(6)] == [404] * 6
    assert [ask(URL)["status"] for _ in range(6)] == [503] * 6  # no box scores at all
    candidate, control = counted(Arm.CANDIDATE), counted(Arm.CONTROL)
    assert (candidate.errors, candidate.hits, candidate.misses, control.errors) == (0, 0, 0, 0)


@committed
def test_a_database_that_fails_both_arms_is_no_failure_of_the_candidate(nba: None, at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    ENTRIES.memory.clear()
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    try:
        assert [ask()["status"] for _ in range(6)] == [503] * 6
    finally:
        connection.settings_dict["HOST"] = host
    assert counted(Arm.CANDIDATE).errors == 0


@committed
def test_shadow_mode_compares_what_both_arms_computed_from_the_same_games(nba: None, at_stage: Stages) -> None:
    warm_factor()
    at_stage("SHADOW_MODE")
    assert ask()["served_from"] == "computed"
    assert until(lambda: counted(Arm.CANDIDATE).compared == 1)
    candidate = counted(Arm.CANDIDATE)
    assert (candidate.requests, candidate.mismatches, candidate.hits) == (1, 0, 1)


@committed
def test_a_cache_that_is_wrong_is_found_in_shadow_mode(nba: None, at_stage: Stages) -> None:
    warm_factor()
    entry = CacheEntry.objects.get()
    payload = orjson.loads(entry.data_json) | {"n": 1}
    CacheEntry.objects.update(data_json=orjson.dumps(payload).decode())
    at_stage("SHADOW_MODE")
    ENTRIES.memory.clear()
    ENTRIES.announce({ABOUT: None}, ENTRIES.get(ABOUT).record.stamp + 1)
    ask()
    assert until(lambda: counted(Arm.CANDIDATE).mismatches == 1)
    [(fresh, cached)] = mismatches.read_mismatches(NAME)
    assert orjson.loads(fresh)["n"] > 1 == orjson.loads(cached)["n"]


@committed
def test_box_scores_that_are_imported_in_between_cause_no_mismatch(nba: None, at_stage: Stages) -> None:
    warm_factor()
    GameLog.objects.filter(pk__in=GameLog.objects.values("pk")[:200]).delete()
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(seconds=1))  # as an import does
    CacheTarget.objects.update(lease_until=Now() + timedelta(minutes=1))  # a worker computes it
    at_stage("SHADOW_MODE")
    ask()
    assert until(lambda: counted(Arm.CANDIDATE).requests == 1)
    candidate = counted(Arm.CANDIDATE)
    assert (candidate.compared, candidate.mismatches) == (0, 0)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(json)
def test_json_is_close_to_itself(value: Any) -> None:
    assert is_close(value, orjson.loads(orjson.dumps(value)))


@pytest.mark.parametrize(
    ("one", "other", "close"),
    [
        (0.1 + 0.2, 0.3, True),
        ([1.0, {"a": 2}], [1.0, {"a": 2}], True),
        ([1.0], [1.0, 2.0], False),
        ({"a": 1}, {"b": 1}, False),
        (1.0, 1.001, False),
        (1.0, "1.0", False),
        (1.0, None, False),
        ("x", "y", False),
    ],
)
def test_numbers_may_differ_by_rounding_only(one: Any, other: Any, close: bool) -> None:
    assert is_close(one, other) is close
