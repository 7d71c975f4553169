"""Real requests to the consumer API, at a steady rate: traffic for a rollout to be judged on."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import aiohttp
import numpy as np
import orjson

LIMIT_SECONDS = 10.0
AT_ONCE = 200


@dataclass(slots=True)
class Driven:
    """latencies_ms: of every request, from when it was due; one that failed took as long as it took to fail."""

    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0
    served_from: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)

    def percentile_ms(self, percent: float) -> float:
        return round(float(np.percentile(self.latencies_ms, percent)), 1) if self.latencies_ms else 0.0

    def document(self) -> dict[str, Any]:
        return {
            "requests": len(self.latencies_ms),
            "failed": self.failed,
            "p50_ms": self.percentile_ms(50),
            "p95_ms": self.percentile_ms(95),
            "served_from": {name: self.served_from[name] for name in ("cache", "computed")},
            "problems": dict(self.problems),
        }


@dataclass(frozen=True, slots=True)
class Drive:
    """rate: requests a second, sent when they are due, whether or not earlier ones were answered. keys: how many
    different targeting keys they carry.
    """

    addresses: Sequence[str]
    token: str
    rate: float
    seconds: float
    keys: int

    async def run(self, progress: Callable[[int], None]) -> Driven:
        driven, start = Driven(), time.monotonic()
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        limit = aiohttp.ClientTimeout(total=LIMIT_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=limit) as session, asyncio.TaskGroup() as group:
            for number, address in zip(range(round(self.rate * self.seconds)), cycle(self.addresses), strict=False):
                due = start + number / self.rate
                await asyncio.sleep(due - time.monotonic())
                group.create_task(self._ask(session, address, f"user-{number % self.keys}", due, driven))
                progress(1)
        return driven

    async def _ask(self, session: aiohttp.ClientSession, address: str, key: str, due: float, driven: Driven) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "X-Targeting-Key": key}
        problem = ""
        try:
            async with session.get(address, headers=headers) as answer:
                body = await answer.read()
                problem = "" if answer.status in (200, 304) else f"HTTP {answer.status}"
                if answer.status == 200:
                    driven.served_from[orjson.loads(body)["served_from"]] += 1
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            problem = type(error).__name__
        driven.latencies_ms.append((time.monotonic() - due) * 1000)
        if problem:
            driven.failed += 1
            driven.problems[problem] += 1
