"""OpenFeature Remote Evaluation, protocol 0.3.

Each rollout is a boolean flag, which is true for the targeting keys that the candidate serves.
"""

import hashlib
from typing import Any

import msgspec
import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from core.http.api import has_matching_etag
from core.http.tokens import token_name
from rollout.choices import Stage
from rollout.decisions.stages import Arm
from rollout.gate import Gate, gate, runtime
from rollout.gate.state import RolloutState

BODY_AT_MOST = 64 * 1024  # bytes
RETRY_SECONDS = "30"
VARIANTS = {Arm.CONTROL: "control", Arm.CANDIDATE: "candidate"}


class EvaluationContext(msgspec.Struct):
    """The context of an evaluation. Its other fields are ignored: a bucket depends on the targeting key alone."""

    targetingKey: str | None = None  # noqa: N815 - the protocol's name


class EvaluationRequest(msgspec.Struct):
    """The body of a request."""

    context: EvaluationContext | None = None


class InvalidRequest(Exception):
    """A request that cannot be evaluated, with the protocol's `errorCode` and `errorDetails`."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(code, details)
        self.code, self.details = code, details


def targeting_key(body: bytes) -> str:
    """Return the targeting key in a request's body. Raises InvalidRequest."""
    try:
        request = msgspec.json.decode(body, type=EvaluationRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest("INVALID_CONTEXT", f"the context does not follow the protocol: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("PARSE_ERROR", f"the body must be JSON: {error}") from None
    key = request.context.targetingKey if request.context else None
    if not key:
        raise InvalidRequest("TARGETING_KEY_MISSING", "context.targetingKey must be a text that is not empty")
    if "\0" in key:
        raise InvalidRequest("INVALID_CONTEXT", "context.targetingKey must not contain a NUL character")
    return key


def evaluate(flag: Gate, key: str) -> dict[str, Any]:
    """Return the flag's evaluation for a targeting key. Its reason is STALE while the control loop is blind."""
    state, arm = flag.state(), flag.decide(key)
    return {
        "key": flag.name,
        "value": arm is Arm.CANDIDATE,
        "variant": VARIANTS[arm],
        "reason": reason_of(state),
        "metadata": {"stage": state.stage.value},
    }


def reason_of(state: RolloutState) -> str:
    """Return the protocol's reason for the arm that a gate decides in this state."""
    if state.is_blind:
        return "STALE"
    if state.has_tripped or not state.is_serving_on or state.stage is Stage.DISABLED:
        return "DISABLED"
    is_split = state.stage is Stage.PARTIAL_ACTIVE or 0 < state.serving.percent < 100
    return "SPLIT" if is_split else "STATIC"  # STATIC: all keys are served alike


@csrf_exempt
@require_POST
def evaluate_flag(request: HttpRequest, key: str) -> HttpResponse:
    """Answer the evaluation of one flag.

    key: the flag's, which is the rollout's name.
    """
    if refusal := _refusal(request):
        return refusal
    if key not in runtime.shared().states.names():
        details = f"no flag {key[:50]!r} exists; the flags are the rollouts, see /admin/rollout/rollout/"
        return _json({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, 404)
    try:
        return _json(evaluate(gate(key), targeting_key(request.body)))
    except InvalidRequest as error:
        return _json({"key": key, "errorCode": error.code, "errorDetails": error.details}, 400)


@csrf_exempt
@require_POST
def evaluate_flags(request: HttpRequest) -> HttpResponse:
    """Answer the evaluation of all flags; 304 if the caller's copy is the same."""
    if refusal := _refusal(request):
        return refusal
    try:
        key = targeting_key(request.body)
    except InvalidRequest as error:
        return _json({"errorCode": error.code, "errorDetails": error.details}, 400)
    response = _json({"flags": [evaluate(gate(name), key) for name in runtime.shared().states.names()]})
    tag = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    response["ETag"] = tag
    return HttpResponseNotModified(headers=_kept(response)) if has_matching_etag(request, tag) else response


def _kept(response: HttpResponse) -> dict[str, str]:
    """Return the headers of a response that a 304 repeats: all but those of the body (RFC 9110, 15.4.5)."""
    return {name: value for name, value in response.items() if name not in ("Content-Type", "Content-Length")}


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the response to a request that is not evaluated; None if it may be."""
    if token_name(request) is None:
        response = _json({"errorDetails": "the token is missing or unknown; send Authorization: Bearer TOKEN"}, 401)
        response["WWW-Authenticate"] = "Bearer"
        return response
    if int(request.headers.get("Content-Length") or 0) > BODY_AT_MOST:
        details = f"the body must be at most {BODY_AT_MOST} bytes"
        return _json({"errorCode": "INVALID_CONTEXT", "errorDetails": details}, 413)
    if not runtime.shared().states.are_known():
        details = f"the rollouts are not known yet; retry in {RETRY_SECONDS} s, and check /readyz"
        response = _json({"errorDetails": details}, 503)
        response["Retry-After"] = RETRY_SECONDS
        return response
    return None


def _json(document: dict[str, Any], status: int = 200) -> HttpResponse:
    body = orjson.dumps(_without_surrogates(document))
    response = HttpResponse(body, status=status, content_type="application/json")
    response["Cache-Control"] = "no-store" if status != 200 else "private, no-cache"
    return response


def _without_surrogates(value: Any) -> Any:
    """Return the value with each lone surrogate replaced. A path may contain bytes that are not text."""
    if isinstance(value, dict):
        return {name: _without_surrogates(inner) for name, inner in value.items()}
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
