"""How the stub feed misbehaves when told to."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from core.errors import WrongInput

KINDS = ("timeout", "slow", "500", "429", "401", "html", "truncated", "empty", "huge", "wrong-type")
SLOW_SECONDS = 3
CONTROL = "/stub/v1/fault"
HOLD_SECONDS = 0.5
HUGE_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    rate: float

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """`KIND[:RATE]`, the rate being a share from 0 to 1. Raises WrongInput."""
        kind, _, rate = text.partition(":")
        try:
            fault = cls(kind, float(rate or 1))
        except ValueError:
            raise WrongInput(f"the rate {rate} is no number", "write it as timeout:0.2") from None
        if kind not in KINDS or not 0 <= fault.rate <= 1:
            raise WrongInput(f"there is no fault {text}", f"take one of {', '.join(KINDS)}, and a rate from 0 to 1")
        return fault


@dataclass(slots=True)
class Mood:
    """How a stub feed behaves at the moment."""

    fault: Fault | None = None


def refusal(status: int, code: str, message: str, **headers: str) -> web.Response:
    return web.json_response({"message": message, "error_code": code}, status=status, headers=headers)


async def hold(request: web.Request, mood: Mood) -> web.StreamResponse:
    """Misbehave for as long as whoever asks for it stays connected, however he goes."""
    try:
        fault = Fault.parse(request.query.get("fault", ""))
    except WrongInput as error:
        return refusal(422, "INVALID_FAULT", str(error))
    response = web.StreamResponse()
    await response.prepare(request)
    before, mood.fault = mood.fault, fault
    try:
        while True:
            await response.write(b".")
            await asyncio.sleep(HOLD_SECONDS)
    except ConnectionError:
        pass
    finally:
        mood.fault = before
    return response


def misbehave(mood: Mood, seed: int) -> Any:
    """A middleware that carries the fault out, at its rate, the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = mood.fault
        if fault is None or request.path == CONTROL or dice.random() >= fault.rate:
            return await handler(request)
        if fault.kind == "timeout":
            await asyncio.sleep(3600)
        if fault.kind == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        if fault.kind == "huge":
            return await _huge(request)
        return _answer(fault.kind, await handler(request))

    return middleware


def _answer(kind: str, good: web.StreamResponse) -> web.StreamResponse:
    assert isinstance(good, web.Response) and isinstance(good.body, bytes)
    if kind == "500":
        return refusal(500, "INTERNAL", "Something broke")
    if kind == "429":
        return refusal(429, "EXCEEDED_FREQ_LIMIT", "Requests are too frequent", **{"Retry-After": "30"})
    if kind == "401":
        return refusal(401, "INVALID_KEY", "API key is not valid")
    if kind == "html":
        return web.Response(text="<!doctype html><h1>Back soon</h1>", content_type="text/html")
    if kind == "truncated":
        good.body = good.body[: len(good.body) // 2]
    if kind == "empty":
        good.body = msgspec.json.encode(_emptied(msgspec.json.decode(good.body)))
    if kind == "wrong-type":
        good.body = msgspec.json.encode(_mistyped(msgspec.json.decode(good.body)))
    return good


def _emptied(value: Any) -> Any:
    """The same shape, with nothing in its lists."""
    if isinstance(value, list):
        return []
    return {name: _emptied(part) for name, part in value.items()} if isinstance(value, dict) else value


def _mistyped(value: Any) -> Any:
    """The same names, with a list where a text was and a text where a number was."""
    if isinstance(value, list):
        return [_mistyped(part) for part in value]
    if isinstance(value, dict):
        return {name: _mistyped(part) for name, part in value.items()}
    return [value] if isinstance(value, str) else f"about {value}"


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    chunk = b"[" + b" " * 65535
    for _ in range(HUGE_BYTES // len(chunk)):
        await response.write(chunk)
    return response
