"""Polling: claim what is due, start each fetch at its deadline, store what came. One event loop per process."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any

import aiohttp
import structlog
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, close_old_connections, connection
from redis.asyncio import Redis

from core.errors import first_line
from core.redis import asynchronous_client, key
from providers import sql
from providers.adapters import UPSTREAMS
from providers.fleet.backfill import Scope
from providers.polling.address_guard import PrivateAddress, PublicResolver, refuse_private
from providers.polling.caller import Caller, CallFailed, Limit
from providers.polling.ingest import record
from providers.polling.messages import Answer, Claim, Poll
from providers.polling.rate_limit import Bucket
from providers.polling.schedule import HORIZON

STORING = timedelta(seconds=15)
BATCH = 500
WRITERS = 4
log = structlog.get_logger("slipway.polling")


@dataclass(frozen=True, slots=True)
class Polled:
    """How one poll went; `is_stored` is false when the claim was lost."""

    claim: Claim
    poll: Poll
    is_stored: bool


def claim_due(*, horizon: timedelta = HORIZON, scope: Scope = Scope(), everything: bool = False) -> list[Claim]:
    """Claim the slots that are due within the horizon; with `everything` those that are not due too."""
    params: dict[str, Any] = {
        "horizon": horizon,
        "storing": STORING,
        "batch": BATCH,
        "everything": everything,
        "sport": scope.sport,
        "provider": scope.provider,
    }
    claims: list[Claim] = []
    with connection.cursor() as cursor:
        while True:
            asked = time.monotonic()
            cursor.execute(sql.CLAIM_DUE, params)
            # The database's now() lies between asking and answer; which of them is nearer nobody can tell.
            claims += [_claim(row, (asked + time.monotonic()) / 2) for row in cursor.fetchall()]
            if cursor.rowcount < BATCH:
                return claims


def _claim(row: tuple[Any, ...], claimed_at: float) -> Claim:
    *values, members = row
    names = [column.name for column in fields(Claim)][: len(values)]
    return Claim(**dict(zip(names, values, strict=True)), members=json.loads(members), claimed_at=claimed_at)


def release(claim: Claim) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.RELEASE_CLAIM, {"slot": claim.slot, "fence": claim.fence})


def obstacle(claim: Claim) -> str:
    """Why the upstream cannot be called at all; empty when it can."""
    if claim.adapter not in UPSTREAMS:
        return f"there is no adapter for {claim.adapter} yet"
    if not claim.members:
        return "nobody wants it any more"
    if claim.sport not in UPSTREAMS[claim.adapter].sports:
        return f"{claim.adapter} has no {claim.sport}"
    if claim.credential_env and not os.environ.get(claim.credential_env):
        return f"{claim.credential_env} is not set"
    if not claim.base_url and not settings.STUB_FEED_URL:
        return "STUB_FEED_URL is not set"
    return ""


def time_limit(claim: Claim) -> float:
    """Seconds that all of a poll's calls have together."""
    return claim.timeout_seconds


async def carry_out(claim: Claim, session: aiohttp.ClientSession, limit: Limit) -> Poll:
    """Make the poll's calls. Never raises for what an upstream does."""
    if problem := obstacle(claim):
        return Poll(problem=problem)
    url = claim.base_url.rstrip("/") or settings.STUB_FEED_URL
    try:
        refuse_private(url, settings.STUB_FEED_URL)
    except PrivateAddress as error:
        return Poll(problem=str(error))
    deadline = asyncio.get_running_loop().time() + time_limit(claim)
    secret = os.environ.get(claim.credential_env, "")
    caller = Caller(session, url, secret, deadline, limit, claim.max_retries)
    answer = None
    try:
        answer = await UPSTREAMS[claim.adapter].poll(claim, caller)
    except CallFailed:
        pass
    except Exception as error:  # a fault of ours is on record too, and the slot goes on
        log.exception("the adapter broke", adapter=claim.adapter, sport=claim.sport)
        return Poll(tuple(caller.calls), problem=f"unexpected {type(error).__name__} in the adapter")
    return caller.poll(answer)


@dataclass(slots=True)
class Poller:
    """The process's one event loop and HTTP session, in a thread of their own."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    writers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WRITERS, "poll-writer"))
    session: aiohttp.ClientSession | None = None
    redis: "Redis | None" = None
    polls: set["Future[Polled]"] = field(default_factory=set)
    thread: threading.Thread = field(init=False)

    def start(self) -> "Poller":
        self.thread = threading.Thread(target=self.loop.run_forever, name="poller", daemon=True)
        self.thread.start()
        return self

    def dispatch(self, claims: list[Claim]) -> list["Future[Polled]"]:
        """Hand the claims to the loop and return at once."""
        started = [asyncio.run_coroutine_threadsafe(self._poll(claim), self.loop) for claim in claims]
        for poll in started:
            self.polls.add(poll)
            poll.add_done_callback(self.polls.discard)
        return started

    async def _poll(self, claim: Claim) -> Polled:
        deadline = claim.claimed_at + claim.due_in_seconds
        try:
            await asyncio.sleep(deadline - time.monotonic())
            late_ms = (time.monotonic() - deadline) * 1000
            poll = await carry_out(claim, await self._session(), self._limit(claim))
        except asyncio.CancelledError:
            await asyncio.shield(self._in_writer(lambda: release(claim)))
            raise
        poll = replace(poll, late_ms=late_ms)
        try:
            is_stored = await asyncio.shield(self._in_writer(lambda: record(claim, poll)))  # also when stopped
        except (DataError, IntegrityError) as error:
            log.exception("the tables do not take the answer", sport=claim.sport, members=sorted(claim.members))
            poll = replace(poll, answer=Answer(), is_good=False, problem=f"its answer cannot be stored: {_kind(error)}")
            is_stored = await asyncio.shield(self._in_writer(lambda: record(claim, poll)))
        except DatabaseError:
            log.exception("not stored; polled again after its lease", sport=claim.sport, members=sorted(claim.members))
            raise
        self._tell(claim, poll, is_stored)
        return Polled(claim, poll, is_stored)

    async def _session(self) -> aiohttp.ClientSession:
        if self.session is None:
            connector = aiohttp.TCPConnector(limit=0, resolver=PublicResolver(settings.STUB_FEED_URL))
            no_limit = aiohttp.ClientTimeout(total=None)  # each poll has its own
            self.session = aiohttp.ClientSession(
                connector=connector, timeout=no_limit, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
            )
        return self.session

    def _limit(self, claim: Claim) -> Bucket:
        if self.redis is None:
            self.redis = asynchronous_client()
        return Bucket(self.redis, key(f"bucket:{claim.account}"), claim.requests_per_minute)

    async def _in_writer(self, work: Callable[[], "bool | None"]) -> bool:
        def with_fresh_connection() -> bool:
            close_old_connections()
            try:
                return bool(work())
            finally:
                close_old_connections()

        return await self.loop.run_in_executor(self.writers, with_fresh_connection)

    def _tell(self, claim: Claim, poll: Poll, is_stored: bool) -> None:
        tell = (log.info if poll.is_good else log.warning) if poll.calls else log.debug
        lines, ms = len(poll.answer.lines), round(sum(call.duration_ms for call in poll.calls))
        tell(
            "polled" if is_stored else "polled, but the claim was lost",
            providers=sorted(claim.members),
            sport=claim.sport,
            calls=len(poll.calls),
            lines=lines,
            ms=ms,
            late_ms=round(poll.late_ms),
            problem=poll.problem,
        )

    def stop(self) -> None:
        """Give back what has not ended, and close the session."""
        for poll in list(self.polls):
            poll.cancel()
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(timeout=5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        together = threading.Barrier(WRITERS)  # so that each writer gets one
        for _ in range(WRITERS):
            self.writers.submit(_close_connection, together)
        self.writers.shutdown()

    async def _close(self) -> None:
        """Wait for the cancelled polls to give their claims back."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.gather(*others, return_exceptions=True)
        if self.session:
            await self.session.close()
        if self.redis:
            await self.redis.aclose()


def _kind(error: Exception) -> str:
    """What the database said, without the values that it said it of."""
    return first_line(error, "no answer").split('"')[0].strip()[:100]


def _close_connection(together: threading.Barrier) -> None:
    together.wait()
    connection.close()


_poller: Poller | None = None
_starting = threading.Lock()


def poller() -> Poller:
    """The process's poller, started on first use."""
    global _poller
    with _starting:
        if _poller is None:
            _poller = Poller().start()
        return _poller


def stop_poller() -> None:
    global _poller
    with _starting:
        if _poller is not None:
            _poller.stop()
            _poller = None
