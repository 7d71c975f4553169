"""Upstream calls with limits on time, size and rate. Errors become outcomes, and no text contains a secret."""

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
from providers.choices import PollOutcome
from providers.fleet.health import retry_delay
from providers.upstream.address_guard import PrivateAddress
from providers.upstream.messages import Answer, Call, Poll, Quota

LONGEST_PAUSE_SECONDS = 86400.0  # a longer Retry-After counts as a mistake
MAX_BYTES = 20 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
ANSWER_SECONDS = 3.0  # the part of a poll's time-out that waiting for the rate limit must leave over
TRANSIENT = {500, 502, 503, 504}  # HTTP statuses that may be gone a second later
LONGEST_PAGE = 64 * 1024  # bytes of an HTML error page that is searched for its text
LONGEST_PAGE_TEXT = 100  # characters of it that are kept
LONGEST_MESSAGE = 300  # characters
OUT_OF_CREDITS = "OUT_OF_USAGE_CREDITS"  # The Odds API sends it with HTTP 401, as it does for a bad key
OUTCOMES = {401: PollOutcome.REFUSED, 403: PollOutcome.REFUSED, 429: PollOutcome.THROTTLED}
T = TypeVar("T")


class CallFailed(Exception):
    """No usable answer exists: the call is recorded with its error, or it could not be made in time."""


class RateLimit(Protocol):
    """The limit on the requests of an account."""

    async def take(self, longest_seconds: float, /) -> float: ...
    async def pause(self, seconds: float, /) -> None: ...


class _UnusableAnswer(Exception):
    def __init__(
        self,
        outcome: PollOutcome,
        message: str,
        http_status: int | None = None,
        pause_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.outcome, self.http_status, self.pause_seconds = outcome, http_status, pause_seconds


class ErrorBody(msgspec.Struct):
    """The body of an upstream's error."""

    message: str = ""
    error_code: str = ""


@dataclass(slots=True)
class Caller:
    """The client for the calls of one poll, within one deadline and a number of retries. It records each call."""

    session: aiohttp.ClientSession
    base_url: str
    secret: str
    deadline: float  # seconds of the loop's clock
    limit: RateLimit
    retries: int = 0  # that are left, for all calls together
    headers: Mapping[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    quota: Quota | None = None
    pause_seconds: float | None = None  # set once throttled: then no further call is made
    held_back: str = ""  # why a call was not made

    def poll(self, answer: Answer | None) -> Poll:
        """Return the poll with all its calls. If answer is None, the answer that the poll depends on did not come."""
        problem = next((call.message for call in self.calls if call.outcome != PollOutcome.OK), self.held_back)
        pause = 0.0 if self.held_back and not self.calls else self.pause_seconds
        return Poll(
            tuple(self.calls),
            answer or Answer(),
            problem=problem,
            is_good=answer is not None,
            pause_seconds=pause,
            quota=self.quota,
        )

    async def get(self, path: str, params: Mapping[str, str], answer: type[T]) -> T:
        """GET the path and decode the answer. Retry an error that may be gone a moment later. Raise CallFailed."""
        attempt = 0
        while True:
            await self._wait_for_turn()
            call, decoded = await self._call_once(path, params, answer)
            if decoded is not None:
                return decoded
            delay = retry_delay(attempt, random.random())  # noqa: S311
            is_transient = call.outcome == PollOutcome.UNREACHABLE or call.http_status in TRANSIENT
            if not is_transient or self.retries == 0 or delay >= self._seconds_left():
                raise CallFailed
            self.retries, attempt = self.retries - 1, attempt + 1
            await asyncio.sleep(delay)

    async def _wait_for_turn(self) -> None:
        """Wait for the rate limit. Raise CallFailed if there is no time left or the upstream wants a pause.

        Such a call is not made, so it is not recorded. The upstream is not responsible for the time of this wait; the
        time that is left after it must be enough for an answer.
        """
        self._refuse_if_too_late()
        wait = await self.limit.take(max(0.0, self._seconds_left() - ANSWER_SECONDS))
        if wait < 0:
            self.held_back = f"the account's requests per minute are used up for {-wait:.0f} s"
            raise CallFailed
        if wait > 0:
            await asyncio.sleep(wait)
            self._refuse_if_too_late()

    def _refuse_if_too_late(self) -> None:
        if self.pause_seconds is not None or self._seconds_left() <= 0:
            raise CallFailed

    def _seconds_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()

    async def _call_once(self, path: str, params: Mapping[str, str], answer: type[T]) -> tuple[Call, T | None]:
        started_at, start = datetime.now(UTC), time.perf_counter()
        # This outcome is recorded if an error that is handled nowhere below ends the call.
        call = Call(path, started_at, 0.0, PollOutcome.UNREADABLE, message="internal error of Slipway")
        decoded: T | None = None
        try:
            call, body = await self._read(call, params)
            decoded = _decode(body, answer)
            call = replace(call, outcome=PollOutcome.OK, message="")
        except _UnusableAnswer as error:
            status = error.http_status or call.http_status
            call = replace(call, outcome=error.outcome, message=self._clean(str(error)), http_status=status)
            if error.outcome == PollOutcome.THROTTLED:
                requested = min(error.pause_seconds or 0.0, LONGEST_PAUSE_SECONDS)
                self.pause_seconds = max(self.pause_seconds or 0.0, requested)
                await self.limit.pause(self.pause_seconds)
        finally:
            call = replace(call, duration_ms=(time.perf_counter() - start) * 1000)
            self.calls.append(call)
        return call, decoded

    async def _read(self, call: Call, params: Mapping[str, str]) -> tuple[Call, bytes]:
        try:
            async with asyncio.timeout(self._seconds_left()):
                async with self.session.get(
                    self.base_url + call.path, params=params, headers=self.headers, allow_redirects=False
                ) as response:
                    call = replace(call, http_status=response.status)
                    self._note_quota(response.headers)
                    body = await _read_body(response)
        except TimeoutError:
            raise _UnusableAnswer(PollOutcome.TIMEOUT, "no answer within the time limit") from None
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, PrivateAddress):
                raise _UnusableAnswer(PollOutcome.REFUSED, str(error.os_error)) from None
            raise _UnusableAnswer(PollOutcome.UNREACHABLE, "cannot resolve the host name") from None
        except aiohttp.ClientConnectorError as error:
            raise _UnusableAnswer(PollOutcome.UNREACHABLE, f"cannot connect: {error.os_error.strerror}") from None
        except aiohttp.ClientError as error:
            raise _UnusableAnswer(PollOutcome.UNREACHABLE, f"connection lost: {type(error).__name__}") from None
        call = replace(call, size_bytes=len(body))
        if response.status != 200:
            raise _http_error(response.status, body, response.headers, self._redact)
        return call, body

    def _note_quota(self, headers: Mapping[str, str]) -> None:
        """Keep the credits left in the month and the call's cost. Only The Odds API sends these headers."""
        try:
            left, cost = float(headers["x-requests-remaining"]), float(headers["x-requests-last"])
        except (KeyError, ValueError):
            return
        if left >= 0 and cost >= 0:  # False for NaN
            self.quota = Quota(left, cost + (self.quota.cost if self.quota else 0.0))

    def _clean(self, message: str) -> str:
        return self._redact(message.replace("\0", ""))[:LONGEST_MESSAGE]  # no table can hold a NUL character

    def _redact(self, text: str) -> str:
        """Mask secrets: some upstreams repeat the key in their error text.

        Redact before a text is cut, because half a key is a secret too.
        """
        return redact(text.replace(self.secret, "***") if self.secret else text)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(CHUNK_BYTES):
        size += len(part)
        if size > MAX_BYTES:
            response.close()
            message = f"the answer is larger than {MAX_BYTES} bytes"
            raise _UnusableAnswer(PollOutcome.TOO_LARGE, message, response.status)
        parts.append(part)
    return b"".join(parts)


def _http_error(status: int, body: bytes, headers: Mapping[str, str], clean: Callable[[str], str]) -> _UnusableAnswer:
    error = read_error(body, clean)
    outcome = OUTCOMES.get(status, PollOutcome.HTTP_ERROR)
    reason = f"{error.error_code} {error.message}".strip()
    if status == 401 and error.error_code == OUT_OF_CREDITS:
        outcome = PollOutcome.OUT_OF_QUOTA
    if 300 <= status < 400:
        reason = "redirects are not followed"
    pause = _retry_after(headers.get("Retry-After", "")) if status == 429 else None
    return _UnusableAnswer(outcome, f"HTTP {status}: {reason}" if reason else f"HTTP {status}", status, pause)


def read_error(body: bytes, clean: Callable[[str], str] = lambda text: text) -> ErrorBody:
    """Return the upstream's own description of an error. Gateways send it as HTML.

    clean: removes secrets from the page, before it is cut.
    """
    try:
        return msgspec.json.decode(body, type=ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if body.lstrip()[:1] != b"<" or len(body) > LONGEST_PAGE:
            return ErrorBody()
        words = re.sub(r"<[^>]*>", " ", clean(body.decode(errors="replace")))
        return ErrorBody(" ".join(words.split())[:LONGEST_PAGE_TEXT])


def _retry_after(value: str) -> float:
    """Return the seconds of either form of the header (RFC 9110, 10.2.3), or 0 if it holds neither."""
    try:
        if value.strip().isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _decode(body: bytes, answer: type[T]) -> T:
    if b"\\u0000" in body:
        raise _unreadable("it contains NUL characters")
    try:
        return msgspec.json.decode(body, type=answer)
    except msgspec.ValidationError as error:
        raise _unreadable(f"unexpected shape: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        is_html = body.lstrip()[:1] == b"<"
        raise _unreadable("it is HTML, not JSON" if is_html else f"it is not valid JSON: {error}") from None


def _unreadable(cause: str) -> _UnusableAnswer:
    return _UnusableAnswer(PollOutcome.UNREADABLE, f"cannot read the answer: {cause}")
