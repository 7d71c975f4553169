"""OpenFeature Remote Evaluation, protocol 0.3: each rollout is a boolean flag, true for whom the candidate serves."""

import hashlib
from typing import Any

import msgspec
import orjson
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from core.http.api import has_already
from core.http.tokens import caller
from rollout.choices import Stage
from rollout.decisions.stages import Arm
from rollout.gate import Gate, gate, runtime
from rollout.gate.view import View

BODY_AT_MOST = 64 * 1024  # bytes
RETRY_SECONDS = "30"
REASONS = {Stage.DISABLED: "DISABLED", Stage.PARTIAL_ACTIVE: "SPLIT"}  # in the others all keys are answered alike
VARIANTS = {Arm.CONTROL: "control", Arm.CANDIDATE: "candidate"}


class Context(msgspec.Struct):
    """Its other fields are nobody's business: buckets are made of the targeting key alone."""

    targetingKey: str | None = None  # noqa: N815 - the protocol's name


class Asked(msgspec.Struct):
    context: Context | None = None


class Unusable(Exception):
    """Unusable(errorCode, errorDetails): 400, or 413 where it is too large to be read."""


def targeting_key(body: bytes) -> str:
    """Raises Unusable."""
    try:
        asked = msgspec.json.decode(body, type=Asked)
    except msgspec.ValidationError as error:
        raise Unusable("INVALID_CONTEXT", f"the context is not as the protocol has it: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable("PARSE_ERROR", f"the body is no JSON: {error}") from None
    key = asked.context.targetingKey if asked.context else None
    if not key:
        raise Unusable("TARGETING_KEY_MISSING", "context.targetingKey says whom to decide for")
    if "\0" in key:
        raise Unusable("INVALID_CONTEXT", "context.targetingKey holds a NUL")
    return key


def evaluate(flag: Gate, key: str) -> dict[str, Any]:
    """The flag's answer; STALE where nobody can tell, and control is served."""
    view, arm = flag.view(), flag.decide(key)
    return {
        "key": flag.name,
        "value": arm is Arm.CANDIDATE,
        "variant": VARIANTS[arm],
        "reason": _reason(view),
        "metadata": {"stage": view.stage.value},
    }


def _reason(view: View) -> str:
    if view.is_blind:
        return "STALE"
    is_off = view.has_tripped or not view.is_serving
    return "DISABLED" if is_off else REASONS.get(view.stage, "STATIC")


@csrf_exempt
@require_POST
def one(request: HttpRequest, key: str) -> HttpResponse:
    if refused := _refused(request):
        return refused
    if key not in runtime.own().views.names():
        details = f"there is no flag {key[:50]!r}; flags are rollouts, see /admin/rollout/rollout/"
        return _json({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, 404)
    try:
        return _json(evaluate(gate(key), targeting_key(request.body)))
    except Unusable as error:
        return _json({"key": key, "errorCode": error.args[0], "errorDetails": error.args[1]}, 400)


@csrf_exempt
@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    if refused := _refused(request):
        return refused
    try:
        key = targeting_key(request.body)
    except Unusable as error:
        return _json({"errorCode": error.args[0], "errorDetails": error.args[1]}, 400)
    answer = _json({"flags": [evaluate(gate(name), key) for name in runtime.own().views.names()]})
    tag = f'"{hashlib.sha256(answer.content).hexdigest()[:32]}"'
    if has_already(request, tag):
        answer = HttpResponse(status=304)
    answer["ETag"] = tag
    return answer


def _refused(request: HttpRequest) -> HttpResponse | None:
    if caller(request) is None:
        answer = _json({"errorDetails": "no token, or an unknown one: send Authorization: Bearer TOKEN"}, 401)
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    if int(request.headers.get("Content-Length") or 0) > BODY_AT_MOST:
        details = f"the body is larger than {BODY_AT_MOST} bytes"
        return _json({"errorCode": "INVALID_CONTEXT", "errorDetails": details}, 413)
    if not runtime.own().views.names():
        answer = _json({"errorDetails": "the rollouts are not known yet; an operator looks at /readyz"}, 503)
        answer["Retry-After"] = RETRY_SECONDS
        return answer
    return None


def _json(document: dict[str, Any], status: int = 200) -> HttpResponse:
    said = orjson.dumps(_without_surrogates(document))
    answer = HttpResponse(said, status=status, content_type="application/json")
    answer["Cache-Control"] = "no-store" if status != 200 else "private, no-cache"
    return answer


def _without_surrogates(value: Any) -> Any:
    """What came in a path may hold bytes that are no text."""
    if isinstance(value, dict):
        return {name: _without_surrogates(inner) for name, inner in value.items()}
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
