"""One upstream call: limits on time, size and rate, errors as outcomes, no secret in any text."""

import asyncio
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

import aiohttp
import msgspec

from core.redaction import redact
from providers.choices import Outcome
from providers.fleet.health import retry_delay
from providers.polling.address_guard import PrivateAddress
from providers.polling.messages import Answer, Call, Poll, Quota
from providers.polling.schedule import LONGEST_PAUSE

MAX_BYTES = 20 * 1024 * 1024
ANSWER_SECONDS = 3.0  # of a poll's time-out that waiting for a turn leaves over
TRANSIENT = {500, 502, 503, 504}  # what may be gone a second later
LONGEST_PAGE = 64 * 1024  # bytes of an error page that is read for its words
OUT_OF_CREDITS = "OUT_OF_USAGE_CREDITS"  # of The Odds API: comes as a 401, as a bad key does
T = TypeVar("T")


class CallFailed(Exception):
    """There is no answer to use: the call is on record with what was wrong, or it could not be made in time."""


class Limit(Protocol):
    async def take(self, longest_seconds: float, /) -> float: ...
    async def pause(self, seconds: float, /) -> None: ...


class _Unusable(Exception):
    def __init__(
        self, outcome: Outcome, message: str, http_status: int | None = None, pause_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.outcome, self.http_status, self.pause_seconds = outcome, http_status, pause_seconds


class Refusal(msgspec.Struct):
    message: str = ""
    error_code: str = ""


@dataclass(slots=True)
class Caller:
    """Makes the calls of one poll, within one deadline and a number of retries, and keeps a record of each."""

    session: aiohttp.ClientSession
    base_url: str
    secret: str
    deadline: float  # of the loop's clock
    limit: Limit
    retries: int = 0  # left, for all calls together
    headers: Mapping[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    quota: Quota | None = None
    pause_seconds: float | None = None  # once throttled, no further call is made
    held_back: str = ""  # why a call was not made

    def poll(self, answer: Answer | None) -> Poll:
        """The whole of it; None: the answer that the poll stands on could not be had."""
        failed = next((call.message for call in self.calls if call.outcome != Outcome.OK), self.held_back)
        pause = 0.0 if self.held_back and not self.calls else self.pause_seconds
        return Poll(
            tuple(self.calls),
            answer or Answer(),
            problem=failed,
            is_good=answer is not None,
            pause_seconds=pause,
            quota=self.quota,
        )

    async def get(self, path: str, params: Mapping[str, str], answer: type[T]) -> T:
        """GET and decode, again where the failure may be gone a moment later. Raises CallFailed."""
        attempt = 0
        while True:
            await self._wait_for_turn()
            call, decoded = await self._once(path, params, answer)
            if decoded is not None:
                return decoded
            delay = retry_delay(attempt, random.random())  # noqa: S311
            is_transient = call.outcome == Outcome.UNREACHABLE or call.http_status in TRANSIENT
            if not is_transient or self.retries == 0 or delay >= self._left():
                raise CallFailed
            self.retries, attempt = self.retries - 1, attempt + 1
            await asyncio.sleep(delay)

    async def _wait_for_turn(self) -> None:
        """No call without time, against a pause, or over the account's requests per minute: so none is on record.

        Time spent waiting for one's turn is not the upstream's: what is left after it has to do for an answer.
        """
        self._refuse_if_too_late()
        wait = await self.limit.take(max(0.0, self._left() - ANSWER_SECONDS))
        if wait < 0:
            self.held_back = f"the account's requests per minute are used up for {-wait:.0f} s"
            raise CallFailed
        if wait > 0:
            await asyncio.sleep(wait)
            self._refuse_if_too_late()

    def _refuse_if_too_late(self) -> None:
        if self.pause_seconds is not None or self._left() <= 0:
            raise CallFailed

    def _left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()

    async def _once(self, path: str, params: Mapping[str, str], answer: type[T]) -> tuple[Call, T | None]:
        started_at, start = datetime.now(UTC), time.perf_counter()
        call = Call(path, started_at, 0.0, Outcome.UNREADABLE, message="a fault of ours")  # until it is known better
        decoded: T | None = None
        try:
            call, body = await self._read(call, params)
            decoded = _decode(body, answer)
            call = replace(call, outcome=Outcome.OK, message="")
        except _Unusable as error:
            status = error.http_status or call.http_status
            call = replace(call, outcome=error.outcome, message=self._clean(str(error)), http_status=status)
            if error.outcome == Outcome.THROTTLED:
                self.pause_seconds = max(self.pause_seconds or 0.0, min(error.pause_seconds or 0.0, LONGEST_PAUSE))
                await self.limit.pause(self.pause_seconds)
        finally:
            call = replace(call, duration_ms=(time.perf_counter() - start) * 1000)
            self.calls.append(call)
        return call, decoded

    async def _read(self, call: Call, params: Mapping[str, str]) -> tuple[Call, bytes]:
        try:
            async with asyncio.timeout(self._left()):
                async with self.session.get(
                    self.base_url + call.path, params=params, headers=self.headers, allow_redirects=False
                ) as response:
                    call = replace(call, http_status=response.status)
                    self._note_quota(response.headers)
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
            raise _not_ok(response.status, body, response.headers, self._redact)
        return call, body

    def _note_quota(self, headers: Mapping[str, str]) -> None:
        """The Odds API tells what is left of the month, and what the call cost; nobody else sends these."""
        try:
            left, cost = float(headers["x-requests-remaining"]), float(headers["x-requests-last"])
        except (KeyError, ValueError):
            return
        if left >= 0 and cost >= 0:  # which no NaN is
            self.quota = Quota(left, cost + (self.quota.cost if self.quota else 0.0))

    def _clean(self, message: str) -> str:
        return self._redact(message.replace("\0", ""))[:300]  # no table holds a NUL

    def _redact(self, text: str) -> str:
        """Some upstreams send the key back in their error text. Always before a text is cut: half a key is one too."""
        return redact(text.replace(self.secret, "***") if self.secret else text)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(65536):
        size += len(chunk)
        if size > MAX_BYTES:
            response.close()
            raise _Unusable(Outcome.TOO_LARGE, f"the answer is larger than {MAX_BYTES} bytes", response.status)
        chunks.append(chunk)
    return b"".join(chunks)


def _not_ok(status: int, body: bytes, headers: Mapping[str, str], clean: Callable[[str], str]) -> _Unusable:
    said = refusal(body, clean)
    outcome = {401: Outcome.REFUSED, 403: Outcome.REFUSED, 429: Outcome.THROTTLED}.get(status, Outcome.HTTP_ERROR)
    reason = f"{said.error_code} {said.message}".strip()
    if status == 401 and said.error_code == OUT_OF_CREDITS:
        outcome = Outcome.OUT_OF_QUOTA
    if 300 <= status < 400:
        reason = "redirects are not followed"
    pause = _retry_after(headers.get("Retry-After", "")) if status == 429 else None
    return _Unusable(outcome, f"HTTP {status}{': ' if reason else ''}{reason}", status, pause)


def refusal(body: bytes, clean: Callable[[str], str] = lambda text: text) -> Refusal:
    """What the upstream says went wrong; gateways say it in HTML. clean: takes secrets out, before anything is cut."""
    try:
        return msgspec.json.decode(body, type=Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if body.lstrip()[:1] != b"<" or len(body) > LONGEST_PAGE:
            return Refusal()
        words = re.sub(r"<[^>]*>", " ", clean(body.decode(errors="replace")))
        return Refusal(" ".join(words.split())[:100])


def _retry_after(value: str) -> float:
    """Seconds, from either form of the header (RFC 9110, 10.2.3); 0 where it holds none."""
    try:
        if value.strip().isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


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
