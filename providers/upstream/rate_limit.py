"""The requests per minute of an account, limited over all workers by a token bucket in Redis.

An account has as many tokens as its upstream allows requests per minute, and each token comes back one minute after the
call that took it. So any 60 seconds contain at most as many calls as the upstream allows, and may contain all of them.
A call that finds no token reserves the one that comes back next and waits for it.
"""

import asyncio
from typing import Any

import structlog
from redis import RedisError
from redis.asyncio import Redis

# KEYS[1] lists when each token was taken or, if it is reserved, will be taken, oldest first. KEYS[2] holds the end of
# the pause that the upstream asked for. Times are seconds of Redis's own clock.
TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local tokens, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('LTRIM', KEYS[1], -tokens, -1)
local start = math.max(now, tonumber(redis.call('GET', KEYS[2]) or 0))
local all_taken = redis.call('LLEN', KEYS[1]) >= tokens
if all_taken then start = math.max(start, redis.call('LINDEX', KEYS[1], 0) + 60) end
if start - now > longest then return tostring(now - start) end
if all_taken then redis.call('LPOP', KEYS[1]) end
redis.call('RPUSH', KEYS[1], string.format('%.6f', start))
redis.call('PEXPIRE', KEYS[1], math.ceil((start - now + 60) * 1000))
return tostring(start - now)"""
PAUSE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local until_then = math.max(now + ARGV[1], tonumber(redis.call('GET', KEYS[1]) or 0))
redis.call('SET', KEYS[1], string.format('%.6f', until_then), 'PX', math.ceil((until_then - now) * 1000) + 1)"""
log = structlog.get_logger("slipway.bucket")


class TokenBucket:
    """The token bucket of one account. If Redis is down, every call goes through: the upstream still has its limit."""

    def __init__(self, redis: "Redis", key: str, requests_per_minute: int) -> None:
        self.redis, self.key, self.tokens = redis, key, requests_per_minute

    async def take(self, longest_seconds: float) -> float:
        """Take a token. Return the seconds to wait before the call.

        If the wait would be longer than longest_seconds, take no token and return the wait as a negative number.
        """
        try:
            keys = self.key, f"{self.key}:paused"
            return float(await self._eval(TAKE, 2, *keys, self.tokens, longest_seconds))
        except RedisError as error:
            log.warning("Redis is unreachable: the call is made without a rate limit", problem=type(error).__name__)
            return 0.0

    async def pause(self, seconds: float) -> None:
        """Stop all calls of this account for so long. A longer pause that is already set stays."""
        try:
            await self._eval(PAUSE, 1, f"{self.key}:paused", seconds)
        except RedisError as error:
            log.warning("Redis is unreachable: other workers do not pause", problem=type(error).__name__)

    async def _eval(self, script: str, keys: int, *arguments: str | float) -> Any:
        answer = await self.redis.eval(script, keys, *arguments)
        # redis-py sends in asyncio.wait_for, which before Python 3.12 may swallow the cancellation of its task.
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError
        return answer
