"""The poller: each process that polls has one event loop, which starts each poll at its deadline and stores it."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial

import aiohttp
import structlog
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, close_old_connections, connection
from redis.asyncio import Redis

from core.errors import first_line
from core.process.per_process import PerProcess
from core.redis import asynchronous_client, key
from core.tracing import span
from providers.adapters import find_problems, find_upstream
from providers.polling.claims import find_obstacle, release
from providers.polling.ingest import store_poll
from providers.upstream.address_guard import PrivateAddress, PublicResolver, refuse_private
from providers.upstream.caller import Caller, CallFailed, RateLimit
from providers.upstream.messages import Answer, Claim, Poll
from providers.upstream.rate_limit import TokenBucket

WRITERS = 4  # threads that store polls
STOP_SECONDS = 5
log = structlog.get_logger("slipway.polling")


@dataclass(frozen=True, slots=True)
class Polled:
    """The result of one poll. `is_stored` is False if the claim was lost, or polling was switched off."""

    claim: Claim
    poll: Poll
    is_stored: bool


def time_limit(claim: Claim) -> float:
    """Return the seconds that all calls of a poll have together."""
    return claim.timeout_seconds


async def run_poll(claim: Claim, session: aiohttp.ClientSession, limit: RateLimit) -> Poll:
    """Make the poll's calls. An upstream's failure is returned, never raised."""
    if problem := find_obstacle(claim):
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
        answer = await find_upstream(claim.adapter).poll(claim, caller)
        if not isinstance(answer, Answer):
            raise TypeError(f"an adapter must return an Answer (got {type(answer).__name__})")
    except CallFailed:
        pass
    except Exception as error:  # an error in the adapter's code is recorded too, and the slot is polled again
        log.exception("the adapter failed", adapter=claim.adapter, sport=claim.sport)
        return Poll(tuple(caller.calls), problem=f"unexpected {type(error).__name__} in the adapter")
    return caller.poll(answer)


@dataclass(slots=True)
class Poller:
    """An event loop and an HTTP session, in a thread of their own, and the threads that store the polls.

    The thread starts with the object.
    """

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    writers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WRITERS, "poll-writer"))
    session: aiohttp.ClientSession | None = None
    redis: "Redis | None" = None
    polls: set["Future[Polled]"] = field(default_factory=set)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        for problem in find_problems():  # this loads the adapters, which would hold up the polls if the loop did it
            log.error("an adapter cannot be used", problem=str(problem))
        self.thread = threading.Thread(target=self.loop.run_forever, name="poller", daemon=True)
        self.thread.start()

    def dispatch(self, claims: list[Claim]) -> list["Future[Polled]"]:
        """Give the claims to the loop and return at once."""
        started = [asyncio.run_coroutine_threadsafe(self._poll(claim), self.loop) for claim in claims]
        for poll in started:
            self.polls.add(poll)
            poll.add_done_callback(self.polls.discard)
        return started

    async def _poll(self, claim: Claim) -> Polled:
        due_at = claim.claimed_at + claim.due_in_seconds
        async with self._released_if_canceled(claim):
            await asyncio.sleep(due_at - time.monotonic())
        late_ms = (time.monotonic() - due_at) * 1000
        with span("poll", {"slipway.sport": claim.sport, "slipway.providers": sorted(claim.members)}):
            async with self._released_if_canceled(claim):
                poll = await run_poll(claim, self._open_session(), self._rate_limit(claim))
            return await self._store(claim, replace(poll, late_ms=late_ms))

    @asynccontextmanager
    async def _released_if_canceled(self, claim: Claim) -> AsyncIterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            await self._run_in_writer(partial(release, claim))
            raise

    async def _store(self, claim: Claim, poll: Poll) -> Polled:
        try:
            is_stored = await self._run_in_writer(partial(store_poll, claim, poll))
        except (DataError, IntegrityError) as error:
            log.exception("the tables refused the answer", sport=claim.sport, members=sorted(claim.members))
            problem = f"cannot store the answer: {_without_values(error)}"
            poll = replace(poll, answer=Answer(), is_good=False, problem=problem)
            is_stored = await self._run_in_writer(partial(store_poll, claim, poll))
        except DatabaseError:
            log.exception(
                "cannot store the poll; the slot is polled again after its lease",
                sport=claim.sport,
                members=sorted(claim.members),
            )
            raise
        _log_poll(claim, poll, is_stored)
        return Polled(claim, poll, is_stored)

    def _open_session(self) -> aiohttp.ClientSession:
        """Return the session. The loop opens it with the first poll."""
        if self.session is None:
            connector = aiohttp.TCPConnector(limit=0, resolver=PublicResolver(settings.STUB_FEED_URL))
            no_limit = aiohttp.ClientTimeout(total=None)  # each poll has its own limit
            self.session = aiohttp.ClientSession(
                connector=connector, timeout=no_limit, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
            )
        return self.session

    def _rate_limit(self, claim: Claim) -> TokenBucket:
        if self.redis is None:
            self.redis = asynchronous_client()
        return TokenBucket(self.redis, key(f"bucket:{claim.account}"), claim.requests_per_minute)

    async def _run_in_writer(self, work: Callable[[], bool]) -> bool:
        """Run the work in a writer thread. It runs to its end even if the poll is canceled."""
        return await asyncio.shield(self._write(work))

    async def _write(self, work: Callable[[], bool]) -> bool:
        # shield wraps this coroutine in a task, and `_close` waits for it. The writer's log entries and spans belong to
        # the poll.
        return await self.loop.run_in_executor(self.writers, copy_context().run, _with_fresh_connection, work)

    def stop(self) -> None:
        """Release the claims of the polls that have not ended, and close the session and the threads."""
        for poll in list(self.polls):
            poll.cancel()
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(timeout=STOP_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        barrier = threading.Barrier(WRITERS)  # no writer finishes before each of them has taken one call
        for _ in range(WRITERS):
            self.writers.submit(_close_connection, barrier)
        self.writers.shutdown()

    async def _close(self) -> None:
        """Wait until the canceled polls have released their claims, then close the clients."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.gather(*others, return_exceptions=True)
        if self.session:
            await self.session.close()
        if self.redis:
            await self.redis.aclose()


def _with_fresh_connection(work: Callable[[], bool]) -> bool:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()


def _close_connection(barrier: threading.Barrier) -> None:
    barrier.wait()
    connection.close()


def _without_values(error: Exception) -> str:
    """Return the database's message up to its first quoted value, because a value may come from the answer."""
    return first_line(error, "no answer").split('"')[0].strip()[:100]


def _log_poll(claim: Claim, poll: Poll, is_stored: bool) -> None:
    if not poll.calls:
        write = log.debug
    elif poll.is_good:
        write = log.info
    else:
        write = log.warning
    write(
        "polled" if is_stored else "polled, but nothing was stored: the claim was lost, or polling was switched off",
        providers=sorted(claim.members),
        sport=claim.sport,
        calls=len(poll.calls),
        lines=len(poll.answer.lines),
        ms=round(sum(call.duration_ms for call in poll.calls)),
        late_ms=round(poll.late_ms),
        problem=poll.problem,
    )


poller_of_this_process = PerProcess(Poller)  # the first call starts it


def stop_poller() -> None:
    """Stop this process's poller if it runs; the next poll starts another one."""
    running = poller_of_this_process.current()
    poller_of_this_process.reset()
    if running is not None:
        running.stop()
