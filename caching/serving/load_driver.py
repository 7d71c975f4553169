"""Real requests to the consumer API at a steady rate, as traffic on which a rollout is judged."""

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

TIMEOUT_SECONDS = 10.0
CONNECTIONS_AT_MOST = 200


@dataclass(slots=True)
class LoadReport:
    """The answers to the requests.

    latencies_ms: one per request, from the time at which it was due; a failed request took as long as it took to fail.
    failed: requests without an answer, or with another status than 200 and 304.
    served_from: answers by their `served_from`. problems: failed requests by status or error.
    """

    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0
    served_from: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latencies; 0 if there was no request."""
        return round(float(np.percentile(self.latencies_ms, percent)), 1) if self.latencies_ms else 0.0

    def document(self) -> dict[str, Any]:
        """Return the report as the command drive prints it."""
        return {
            "requests": len(self.latencies_ms),
            "failed": self.failed,
            "p50_ms": self.percentile_ms(50),
            "p95_ms": self.percentile_ms(95),
            "served_from": {name: self.served_from[name] for name in ("cache", "computed")},
            "problems": dict(self.problems),
        }


@dataclass(frozen=True, slots=True)
class LoadDriver:
    """A load of `rate` requests per second to the addresses in turn.

    A request is sent when it is due, even if earlier ones are not answered yet.

    keys: the number of different targeting keys that the requests carry.
    """

    addresses: Sequence[str]
    token: str
    rate: float
    seconds: float
    keys: int

    async def run(self, progress: Callable[[int], None]) -> LoadReport:
        """Send the requests, wait for the answers, and return the report.

        progress: called with 1 after each request that was sent.
        """
        report, start = LoadReport(), time.monotonic()
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_AT_MOST)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
            for number, address in zip(range(round(self.rate * self.seconds)), cycle(self.addresses), strict=False):
                due = start + number / self.rate
                await asyncio.sleep(due - time.monotonic())
                group.create_task(self._request(session, address, f"user-{number % self.keys}", due, report))
                progress(1)
        return report

    async def _request(
        self, session: aiohttp.ClientSession, address: str, targeting_key: str, due: float, report: LoadReport
    ) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "X-Targeting-Key": targeting_key}
        problem = ""
        try:
            async with session.get(address, headers=headers) as response:
                body = await response.read()
                if response.status == 200:
                    report.served_from[orjson.loads(body)["served_from"]] += 1
                elif response.status != 304:
                    problem = f"HTTP {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            problem = type(error).__name__
        report.latencies_ms.append((time.monotonic() - due) * 1000)
        if problem:
            report.failed += 1
            report.problems[problem] += 1
