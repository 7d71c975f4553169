"""The route GET /api/v1/derived: the answers that consumers get, and the errors."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from caching.models import CacheEntry, CacheTarget
from rollout.gate import runtime
from rollout.models import Activation

pytestmark = pytest.mark.django_db
URL = "/api/v1/derived/correlation/nba/points"
TOKEN = {"Authorization": "Bearer let-me-in"}


@pytest.fixture(autouse=True)
def fully_active(db: None, at_stage: Callable[[str], None]) -> None:
    at_stage("FULL_ACTIVE")


def ask(url: str = URL, **headers: str) -> Any:
    return Client().get(url, headers=TOKEN | headers)


def test_a_miss_is_computed_and_the_next_one_comes_from_the_cache(nba: None) -> None:
    first, second = ask(), ask(URL.replace("nba", "NBA"))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["served_from"] == "computed"
    answer = second.json()
    entry = CacheEntry.objects.get()
    assert answer["value"] == json.loads(entry.data_json) == first.json()["value"]
    assert {name: answer[name] for name in ("served_from", "state")} == {"served_from": "cache", "state": "fresh"}
    assert answer["confidence"] == pytest.approx(entry.confidence, abs=1e-6)
    assert 0 <= answer["age"] < 60


def test_a_client_may_keep_the_value_until_it_is_due(nba: None) -> None:
    answer = ask()
    private, _, seconds = answer["Cache-Control"].rpartition("=")
    assert private == "private, max-age"
    assert 3 * 3600 * 0.9 - 60 < int(seconds) <= 3 * 3600 * 0.9
    same = ask(**{"If-None-Match": answer["ETag"]})
    assert (same.status_code, same.content, same["ETag"]) == (304, b"", answer["ETag"])
    CacheEntry.objects.update(data_hash="00" * 32)
    assert ask(**{"If-None-Match": answer["ETag"]}).status_code == 200


def test_a_stale_value_is_marked_as_stale(nba: None) -> None:
    fresh = ask()
    CacheTarget.objects.update(lease_until=Now() + timedelta(minutes=1))  # a worker computes it
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(hours=2), expires_at=Now() - timedelta(hours=1))
    answer = ask(**{"If-None-Match": fresh["ETag"]})
    assert (answer.status_code, answer.json()["state"]) == (200, "stale")
    assert answer["Cache-Control"] == "private, no-cache"


def test_with_serving_off_it_is_computed_fresh(nba: None) -> None:
    Activation.objects.filter(part="serving").update(is_on=False)
    runtime.shared().states.refresh()
    answer = ask()
    assert (answer.json()["served_from"], answer["Cache-Control"]) == ("computed", "private, no-cache")
    assert not CacheEntry.objects.exists()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}])
def test_it_needs_a_token(headers: dict[str, str]) -> None:
    answer = Client().get(URL, headers=headers)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json()["remedy"] == "send Authorization: Bearer TOKEN"


def test_either_header_carries_it(nba: None) -> None:
    assert Client().get(URL, headers={"X-API-Key": "let-me-in"}).status_code == 200
    both = {"Authorization": "Bearer a proxy's", "X-API-Key": "let-me-in"}
    assert Client().get(URL, headers=both).status_code == 200
    assert Client().head(URL, headers=TOKEN).status_code == 200


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("luck/nba/points", "type must be one of correlation, factor, player (got 'luck'); see /api/v1/docs"),
        ("player/nba/nobody", "cannot serve player:nba:nobody: it has no enabled cache target; add one in the admin"),
        ("player/nba/le bron", "subject must be 1 to 100 letters, digits, - and _ (got 'le bron')"),
        ("player/nba/lebron%01james", "subject must be 1 to 100 letters, digits, - and _ (got 'lebron\\x01james')"),
        (f"player/nba/{'x' * 256}", "subject must be 1 to 100 letters, digits, - and _ (got 'xxxxxxxxxxxxxxxxxxxx')"),
        ("player/basketball/lebron-james", "sport must be 1 to 8 letters and digits (got 'basketball')"),
    ],
)
def test_a_wrong_address_is_answered_with_the_reason(path: str, problem: str, db: None) -> None:
    answer = ask(f"/api/v1/derived/{path}")
    assert answer.status_code == 404
    assert "; ".join(answer.json().values()).startswith(problem)


def test_a_value_that_cannot_be_computed_is_answered_with_the_reason(db: None) -> None:
    answer = ask()
    assert (answer.status_code, answer["Retry-After"], answer["Cache-Control"]) == (503, "30", "no-store")
    assert answer.json()["error"] == "cannot compute correlation:nba:points: no game of NBA"


def test_it_describes_itself(db: None) -> None:
    described = Client().get("/api/v1/openapi.json").json()
    answers = described["paths"]["/api/v1/derived/{cache_type}/{sport}/{subject}"]["get"]["responses"]
    assert set(answers) == {"200", "304", "401", "404", "503"}
    page = Client().get("/api/v1/docs")
    assert b"swagger-ui-bundle.js" in page.content
    assert "unsafe-inline" not in page["Content-Security-Policy"]
