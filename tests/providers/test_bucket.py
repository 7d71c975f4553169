"""The limit on an account's requests per minute, over all workers."""

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from core.redis import asynchronous_client, client, key
from providers.upstream.rate_limit import TokenBucket

NAME = "bucket:test"


def with_bucket(tokens: int, use: Callable[[TokenBucket], Awaitable[list[float]]]) -> list[float]:
    async def run() -> list[float]:
        redis = asynchronous_client()
        try:
            return await use(TokenBucket(redis, key(NAME), tokens))
        finally:
            await redis.aclose()

    return asyncio.run(run())


async def take(bucket: TokenBucket, times: int, longest: float = 1_000_000) -> list[float]:
    return [await bucket.take(longest) for _ in range(times)]


def test_a_minutes_requests_may_come_at_once_and_then_no_more() -> None:
    waits = with_bucket(5, lambda bucket: take(bucket, 12))
    assert waits[:5] == [0] * 5
    assert all(59 < wait <= 60 for wait in waits[5:10])
    assert all(119 < wait <= 120 for wait in waits[10:])


def test_a_call_that_would_wait_too_long_takes_no_token() -> None:
    waits = with_bucket(2, lambda bucket: take(bucket, 5, longest=10))
    assert waits[:2] == [0, 0]
    assert all(-60 <= wait < -59 for wait in waits[2:])
    assert client().llen(key(NAME)) == 2


def test_many_workers_share_it() -> None:
    async def take_at_once(bucket: TokenBucket) -> list[float]:
        buckets = [TokenBucket(bucket.redis, bucket.key, bucket.tokens) for _ in range(50)]
        return list(await asyncio.gather(*(worker.take(1000) for worker in buckets)))

    assert sorted(with_bucket(20, take_at_once))[:21].count(0) == 20


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 10), st.integers(1, 40))
def test_no_minute_sees_more_than_allowed(tokens: int, calls: int) -> None:
    client().delete(key(NAME))
    starts = sorted(with_bucket(tokens, lambda bucket: take(bucket, calls)))
    assert all(later - sooner >= 59 for sooner, later in zip(starts, starts[tokens:], strict=False))


def test_a_pause_holds_every_worker_back() -> None:
    async def pause_and_take(bucket: TokenBucket) -> list[float]:
        await bucket.pause(100)
        return await take(bucket, 2)

    assert all(98 < wait <= 100 for wait in with_bucket(5, pause_and_take))


def test_a_shorter_pause_does_not_replace_a_longer_one() -> None:
    async def pause_twice_and_take(bucket: TokenBucket) -> list[float]:
        await bucket.pause(100)
        await bucket.pause(0)
        return await take(bucket, 1)

    assert all(98 < wait <= 100 for wait in with_bucket(5, pause_twice_and_take))


def test_without_redis_a_call_goes_through() -> None:
    async def run() -> float:
        unreachable = Redis.from_url("redis://127.0.0.1:9", socket_connect_timeout=0.1)
        try:
            return await TokenBucket(unreachable, "x", 1).take(1)
        finally:
            await unreachable.aclose()

    assert asyncio.run(run()) == 0


def test_a_task_that_is_canceled_while_it_takes_a_token_ends_at_any_moment() -> None:
    async def ends_after(bucket: TokenBucket, steps: int) -> bool:
        taking = asyncio.create_task(bucket.take(1))
        for _ in range(steps):
            await asyncio.sleep(0)
        if taking.done():
            return True
        taking.cancel()
        await asyncio.wait([taking])
        return taking.cancelled()

    async def try_all(bucket: TokenBucket) -> list[float]:
        await bucket.take(1)  # connects
        return [await ends_after(bucket, steps) for steps in range(30)]

    assert all(with_bucket(1000, try_all))
