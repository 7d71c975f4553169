"""The faults of the stub feed: it misbehaves in the way that an operator or a test asked for."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from core.errors import WrongInput

KINDS = ("timeout", "slow", "500", "429", "401", "html", "truncated", "empty", "huge", "wrong-type")
SLOW_SECONDS = 3
FAULT_PATH = "/stub/v1/fault"
KEEP_ALIVE_SECONDS = 0.5  # between two bytes to the client that asked for a fault
HUGE_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of misbehavior, and the share of requests that get it, 0 to 1."""

    kind: str
    rate: float

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Return the fault that is written as `KIND[:RATE]`. Without a rate it is 1. Raises WrongInput."""
        kind, _, rate = text.partition(":")
        remedy = f"write it as KIND or KIND:RATE, for example timeout:0.2; kinds: {', '.join(KINDS)}"
        try:
            fault = cls(kind, float(rate or 1))
        except ValueError:
            raise WrongInput(f"the rate of a fault must be a number from 0 to 1 (got {rate})", remedy) from None
        if kind not in KINDS:
            raise WrongInput(f"the kind of a fault must be a known one (got {kind})", remedy)
        if not 0 <= fault.rate <= 1:
            raise WrongInput(f"the rate of a fault must be a number from 0 to 1 (got {rate})", remedy)
        return fault


@dataclass(slots=True)
class FaultState:
    """The fault that a stub feed has at the moment; None: it behaves well."""

    fault: Fault | None = None


def error_response(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error in the upstream's format."""
    return web.json_response({"message": message, "error_code": code}, status=status, headers=headers)


async def hold_fault(request: web.Request, state: FaultState) -> web.StreamResponse:
    """Keep the fault that the client asks for until it disconnects, even if the client is killed."""
    try:
        fault = Fault.parse(request.query.get("fault", ""))
    except WrongInput as error:
        return error_response(422, "INVALID_FAULT", str(error))
    response = web.StreamResponse()
    await response.prepare(request)
    previous = state.fault
    state.fault = fault
    try:
        while True:
            await response.write(b".")
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
    except ConnectionError:
        pass
    finally:
        state.fault = previous
    return response


def fault_middleware(state: FaultState, seed: int) -> Middleware:
    """Return a middleware that spoils answers at the fault's rate. The same seed spoils the same requests."""
    dice = random.Random(seed)  # noqa: S311

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = state.fault
        if fault is None or request.path == FAULT_PATH or dice.random() >= fault.rate:
            return await handler(request)
        if fault.kind == "timeout":
            await asyncio.sleep(3600)
        if fault.kind == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        if fault.kind == "huge":
            return await _send_huge_answer(request)
        return _spoil(fault.kind, await handler(request))

    return middleware


def _spoil(kind: str, good: web.StreamResponse) -> web.StreamResponse:
    """Return what the fault makes of a good answer."""
    assert isinstance(good, web.Response) and isinstance(good.body, bytes)
    if kind == "500":
        return error_response(500, "INTERNAL", "Something broke")
    if kind == "429":
        return error_response(429, "EXCEEDED_FREQ_LIMIT", "Requests are too frequent", {"Retry-After": "30"})
    if kind == "401":
        return error_response(401, "INVALID_KEY", "API key is not valid")
    if kind == "html":
        return web.Response(text="<!doctype html><h1>Back soon</h1>", content_type="text/html")
    if kind == "truncated":
        good.body = good.body[: len(good.body) // 2]
    if kind == "empty":
        good.body = msgspec.json.encode(_without_items(msgspec.json.decode(good.body)))
    if kind == "wrong-type":
        good.body = msgspec.json.encode(_with_wrong_types(msgspec.json.decode(good.body)))
    return good


def _without_items(value: Any) -> Any:
    """Return the same document with empty lists."""
    if isinstance(value, list):
        return []
    return {name: _without_items(item) for name, item in value.items()} if isinstance(value, dict) else value


def _with_wrong_types(value: Any) -> Any:
    """Return the same document with a list in place of each text, and a text in place of each number."""
    if isinstance(value, list):
        return [_with_wrong_types(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_wrong_types(item) for name, item in value.items()}
    return [value] if isinstance(value, str) else f"about {value}"


async def _send_huge_answer(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    chunk = b"[" + b" " * 65535
    for _ in range(HUGE_BYTES // len(chunk)):
        await response.write(chunk)
    return response
