"""OpenFeature Remote Evaluation, called directly and with OpenFeature's own client."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, OpenFeatureError, TargetingKeyMissingError
from openfeature.flag_evaluation import Reason
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from rollout.gate import runtime
from rollout.models import Activation, Rollout
from tests.conftest import committed

pytestmark = pytest.mark.django_db
URL = "/ofrep/v1/evaluate/flags"
FLAG_URL = f"{URL}/derived-data"
IN, OUT = "user-6", "user-1"  # targeting keys below 10 % and above 50 %
Stages = Callable[..., None]


def ask(url: str = FLAG_URL, body: Any = None, key: str = IN, **headers: str) -> Any:
    sent = body if isinstance(body, bytes | str) else json.dumps({"context": {"targetingKey": key}} | (body or {}))
    token = {"Authorization": "Bearer let-me-in"}
    return Client().post(url, sent, content_type="application/json", headers=token | headers)


@pytest.mark.parametrize(
    ("stage", "reason", "for_in", "for_out"),
    [
        ("DISABLED", "DISABLED", "control", "control"),
        ("DARK_MODE", "STATIC", "control", "control"),
        ("SHADOW_MODE", "STATIC", "control", "control"),
        ("PARTIAL_ACTIVE", "SPLIT", "candidate", "control"),
        ("FULL_ACTIVE", "STATIC", "candidate", "candidate"),
    ],
)
def test_a_flag_is_true_for_the_keys_of_the_candidate(
    at_stage: Stages, stage: str, reason: str, for_in: str, for_out: str
) -> None:
    at_stage(stage, percent=10)
    for key, variant in ((IN, for_in), (OUT, for_out)):
        answer = ask(key=key)
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
        assert answer.json() == {
            "key": "derived-data",
            "value": variant == "candidate",
            "variant": variant,
            "reason": reason,
            "metadata": {"stage": stage},
        }


def test_a_flag_that_is_stale_or_switched_off_is_control(at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    runtime.shared().states.expire()
    assert (ask().json()["variant"], ask().json()["reason"]) == ("control", "STALE")
    Activation.objects.filter(part="serving").update(is_on=False)
    at_stage("FULL_ACTIVE")
    assert (ask().json()["variant"], ask().json()["reason"]) == ("control", "DISABLED")


def test_all_flags_are_sent_again_only_if_they_changed(at_stage: Stages) -> None:
    Rollout.objects.create(name="another")
    at_stage("FULL_ACTIVE")
    answer = ask(URL)
    assert [flag["key"] for flag in answer.json()["flags"]] == ["another", "derived-data"]
    for known in (answer["ETag"], f"W/{answer['ETag']}", f'"x", {answer["ETag"]}'):
        same = ask(URL, **{"If-None-Match": known})
        assert (same.status_code, same.content, same["ETag"]) == (304, b"", answer["ETag"])
    at_stage("DISABLED")
    changed = ask(URL, **{"If-None-Match": answer["ETag"]})
    assert (changed.status_code, changed["ETag"] == answer["ETag"]) == (200, False)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"context": {}}, "TARGETING_KEY_MISSING"),
        ({"context": {"targetingKey": ""}}, "TARGETING_KEY_MISSING"),
        ({"context": None}, "TARGETING_KEY_MISSING"),
        ("{}", "TARGETING_KEY_MISSING"),
        ({"context": {"targetingKey": 7}}, "INVALID_CONTEXT"),
        ({"context": [1]}, "INVALID_CONTEXT"),
        ({"context": {"targetingKey": "a\0b"}}, "INVALID_CONTEXT"),
        ("[]", "INVALID_CONTEXT"),
        ("", "PARSE_ERROR"),
        ("{", "PARSE_ERROR"),
        (b"\xff\xfe", "PARSE_ERROR"),
        ('{"context": {"targetingKey": "\\ud800"}}', "PARSE_ERROR"),
        ('{"context": ' + '{"a":' * 20_000, "PARSE_ERROR"),
        (b'{"context": {"targetingKey": "\xff"}}', "PARSE_ERROR"),
    ],
)
@pytest.mark.parametrize("url", [FLAG_URL, URL])
def test_a_wrong_body_gets_a_code_and_details(at_stage: Stages, url: str, body: Any, code: str) -> None:
    at_stage("FULL_ACTIVE")
    sent = body if not isinstance(body, dict) else json.dumps(body)
    if len(sent) > 64_000:
        sent = sent[:64_000]
    answer = ask(url, sent)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
    assert answer.json()["errorDetails"]
    assert answer.json().get("key") == ("derived-data" if url == FLAG_URL else None)


@pytest.mark.parametrize(
    "body",
    [
        '{"context": {"targetingKey": "user-6", "age": 1%s}}' % ("0" * 5000),
        '{"context": {"targetingKey": "user-6", "of": {"\\u0000": [1e308, null]}}, "more": true}',
        '{"context": {"targetingKey": "\U0001f600"}}',
    ],
)
def test_other_fields_of_the_context_are_ignored(at_stage: Stages, body: str) -> None:
    at_stage("FULL_ACTIVE")
    assert ask(FLAG_URL, body).json()["value"] is True


@pytest.mark.parametrize("flag", ["none", "a%2Fb", "a/b", "%00", "%FF%FE", "%0A", "\U0001f600", "x" * 5000, "..%2F"])
def test_an_odd_flag_is_not_found(at_stage: Stages, flag: str) -> None:
    at_stage("FULL_ACTIVE")
    answer = ask(f"{URL}/{flag}")
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


def test_a_large_body_is_not_read(at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    assert ask(FLAG_URL, {"more": "x" * 70_000}).status_code == 413


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Bearer \xe9\xff", "Basic let-me-in"])
def test_it_needs_a_token(at_stage: Stages, token: str) -> None:
    at_stage("FULL_ACTIVE")
    answer = ask(Authorization=token)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert Client().get(FLAG_URL).status_code == 405


def test_before_the_rollouts_are_known_it_answers_when_to_retry(db: None) -> None:
    answer = ask()
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")


def test_pages_of_known_origins_may_call_it(at_stage: Stages, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    at_stage("FULL_ACTIVE")
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "if-none-match"}
    preflight_answer = Client().options(URL, headers=preflight | {"Origin": "https://app.example.com"})
    assert preflight_answer["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "if-none-match" in preflight_answer["Access-Control-Allow-Headers"]
    answer = ask(URL, Origin="https://app.example.com")
    assert "ETag" in answer["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in ask(URL, Origin="https://evil.example.com")
    api = Client().get("/api/v1/lines", headers={"Origin": "https://app.example.com"})
    assert "Access-Control-Allow-Origin" not in api


@pytest.fixture
def provider(live_server: LiveServer, at_stage: Stages) -> Iterator[OFREPProvider]:
    at_stage("PARTIAL_ACTIVE", percent=10)
    provider = OFREPProvider(live_server.url, headers_factory=lambda: {"Authorization": "Bearer let-me-in"})
    yield provider
    provider.session.close()


@committed
def test_the_client_of_openfeature_understands_it(provider: OFREPProvider) -> None:
    details = provider.resolve_boolean_details("derived-data", False, EvaluationContext(IN))
    assert (details.value, details.variant, details.reason) == (True, "candidate", Reason.SPLIT)
    details = provider.resolve_boolean_details("derived-data", True, EvaluationContext(OUT, {"plan": "free"}))
    assert (details.value, details.variant, details.flag_metadata) == (False, "control", {"stage": "PARTIAL_ACTIVE"})
    with pytest.raises(FlagNotFoundError):
        provider.resolve_boolean_details("none", False, EvaluationContext(IN))
    with pytest.raises(TargetingKeyMissingError):
        provider.resolve_boolean_details("derived-data", False, EvaluationContext())
    provider.headers_factory = None
    with pytest.raises(OpenFeatureError, match="unauthorized"):
        provider.resolve_boolean_details("derived-data", False, EvaluationContext(IN))
    connection.close()
