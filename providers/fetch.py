"""One upstream call: limits on time and size, errors as outcomes, no secret in any text."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

import aiohttp
import msgspec

from providers.addresses import PrivateAddress
from providers.choices import Outcome
from providers.feed import Call
from rollout.redact import redact

MAX_BYTES = 20 * 1024 * 1024
T = TypeVar("T")


class CallFailed(Exception):
    """There is no answer to use: the call is on record with what was wrong, or no time was left to make it."""


class _Unusable(Exception):
    def __init__(self, outcome: Outcome, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.outcome, self.http_status = outcome, http_status


class Refusal(msgspec.Struct):
    message: str = ""
    error_code: str = ""


@dataclass(slots=True)
class Caller:
    """Makes the calls of one poll, within one deadline, and keeps a record of each."""

    session: aiohttp.ClientSession
    base_url: str
    secret: str
    deadline: float  # of the loop's clock
    calls: list[Call] = field(default_factory=list)

    async def get(self, path: str, params: Mapping[str, str], answer: type[T]) -> T:
        """GET and decode. Raises CallFailed."""
        if self.deadline <= asyncio.get_running_loop().time():
            raise CallFailed  # no call is made, so none is on record
        started_at, start = datetime.now(UTC), time.perf_counter()
        call = Call(path, started_at, 0.0, Outcome.UNREADABLE, message="a fault of ours")  # until it is known better
        try:
            call, body = await self._read(call, params)
            decoded = _decode(body, answer)
            call = replace(call, outcome=Outcome.OK, message="")
            return decoded
        except _Unusable as error:
            status = error.http_status or call.http_status
            call = replace(call, outcome=error.outcome, message=self._clean(str(error)), http_status=status)
            raise CallFailed from None
        finally:
            self.calls.append(replace(call, duration_ms=(time.perf_counter() - start) * 1000))

    async def _read(self, call: Call, params: Mapping[str, str]) -> tuple[Call, bytes]:
        left = self.deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(left):
                async with self.session.get(
                    self.base_url + call.path, params=params, allow_redirects=False
                ) as response:
                    call = replace(call, http_status=response.status)
                    body = await _body(response)
        except TimeoutError:
            raise _Unusable(Outcome.TIMEOUT, "no answer within the time limit") from None
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, PrivateAddress):
                raise _Unusable(Outcome.REFUSED, str(error.os_error)) from None
            raise _Unusable(Outcome.UNREACHABLE, "its name cannot be resolved") from None
        except aiohttp.ClientConnectorError as error:
            raise _Unusable(Outcome.UNREACHABLE, f"cannot connect: {error.os_error.strerror}") from None
        except aiohttp.ClientError as error:
            raise _Unusable(Outcome.UNREACHABLE, f"the connection broke: {type(error).__name__}") from None
        call = replace(call, size_bytes=len(body))
        if response.status != 200:
            raise _not_ok(response.status, body)
        return call, body

    def _clean(self, message: str) -> str:
        """Some upstreams send the key back in their error text."""
        message = message.replace("\0", "")  # which no table holds
        return redact(message.replace(self.secret, "***") if self.secret else message)[:300]


async def _body(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(65536):
        size += len(chunk)
        if size > MAX_BYTES:
            response.close()
            raise _Unusable(Outcome.TOO_LARGE, f"the answer is larger than {MAX_BYTES} bytes", response.status)
        chunks.append(chunk)
    return b"".join(chunks)


def _not_ok(status: int, body: bytes) -> _Unusable:
    try:
        said = msgspec.json.decode(body, type=Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = Refusal()
    outcome = {401: Outcome.REFUSED, 403: Outcome.REFUSED, 429: Outcome.THROTTLED}.get(status, Outcome.HTTP_ERROR)
    reason = f"{said.error_code} {said.message}".strip()
    if 300 <= status < 400:
        reason = "redirects are not followed"
    return _Unusable(outcome, f"HTTP {status}{': ' if reason else ''}{reason}", status)


def _decode(body: bytes, answer: type[T]) -> T:
    if b"\\u0000" in body:
        raise _Unusable(Outcome.UNREADABLE, "it holds characters that no table can")
    try:
        return msgspec.json.decode(body, type=answer)
    except msgspec.ValidationError as error:
        raise _Unusable(Outcome.UNREADABLE, f"another shape than expected: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        kind = "HTML, not JSON" if body.lstrip()[:1] == b"<" else f"no valid JSON: {error}"
        raise _Unusable(Outcome.UNREADABLE, kind) from None
