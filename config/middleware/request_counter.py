"""The requests of all processes, counted in memory and added up in Redis every 5 seconds, so that none waits for Redis.

Requests are counted by the template of their route, never by their path: a client could make up any number of paths.
"""

import threading
import time
import uuid
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import redis
from django.contrib.admindocs.utils import replace_named_groups
from django.http import HttpRequest, HttpResponse

from core.process.flush_thread import FlushThread
from core.process.per_process import PerProcess
from core.redis import client, key

FLUSH_SECONDS = 5.0
UNRESOLVED = "unresolved"  # the route of static files, redirects to HTTPS and paths that do not exist
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds; a last bucket has no bound

# Add counts to a hash. KEYS: the hash; this batch, which counts once even if it is sent twice. ARGV: field and count in
# turn.
ADD_ONCE = """
if redis.call('SET', KEYS[2], 1, 'NX', 'EX', 300) then
  for i = 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
end"""


class CountedRequest(NamedTuple):
    """A request with its answer. seconds: until the answer, or for a stream until its beginning."""

    method: str
    route: str
    status: int
    seconds: float


class RequestCounter:
    """The requests of one process since they were last sent. The first request starts the thread that sends them.

    Thread-safe: a request only appends itself to a deque, which takes no lock; a lock protects the sums.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: deque[CountedRequest] = deque()
        self._counts: Counter[str] = Counter()
        self._batch: tuple[str, Counter[str]] | None = None  # on its way to Redis, with its id
        self._thread = FlushThread("slipway-requests", self.flush, FLUSH_SECONDS)

    def forget_counts(self) -> None:
        """Drop what was counted and not sent."""
        with self._lock:
            self._new.clear()
            self._counts, self._batch = Counter(), None

    def count(self, request: CountedRequest) -> None:
        self._new.append(request)
        self._thread.ensure_started()

    def flush(self) -> bool:
        """Send what was counted. Return whether Redis took it; else it stays counted."""
        with self._lock:
            self._add_up()
            try:
                while self._batch or self._counts:
                    if self._batch is None:
                        self._batch, self._counts = (uuid.uuid4().hex, self._counts), Counter()
                    batch, counts = self._batch
                    arguments = [part for field_and_count in counts.items() for part in field_and_count]
                    client().eval(ADD_ONCE, 2, key("requests"), key(f"requests-sent:{batch}"), *arguments)
                    self._batch = None
            except redis.RedisError:
                return False
            return True

    def _add_up(self) -> None:
        while self._new:
            request = self._new.popleft()
            self._counts[f"requests\t{request.method}\t{request.route}\t{request.status // 100}xx"] += 1
            self._counts[f"bucket\t{request.route}\t{bisect_left(BOUNDS, request.seconds)}"] += 1
            self._counts[f"us\t{request.route}"] += round(request.seconds * 1e6)


requests = PerProcess(RequestCounter)


class CountRequests:
    """A middleware that counts every request. It is the outermost one, so the time of all others is included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        start = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        counted = CountedRequest(
            request.method if request.method in METHODS else "other",
            _template(match.route) if match else UNRESOLVED,
            response.status_code,
            time.perf_counter() - start,
        )
        requests().count(counted)
        return response


@cache
def _template(route: str) -> str:
    """Return the route with a slash before it, and with `<name>` instead of a regular expression."""
    return f"/{replace_named_groups(route).strip('^$')}"


@dataclass(slots=True)
class RouteLatency:
    """The latencies of a route: how many by the number of their bucket in BOUNDS, and their sum in seconds."""

    counts: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0


class RequestTotals(NamedTuple):
    """The requests of all processes. counts: by method, route and class of the status. latencies: by route."""

    counts: dict[tuple[str, str, str], int]
    latencies: dict[str, RouteLatency]


def read_totals() -> RequestTotals:
    """Return what all processes counted and sent. Raises redis.RedisError."""
    fields: dict[bytes, bytes] = client().hgetall(key("requests"))  # type: ignore[assignment]
    totals = RequestTotals({}, {})
    for name, count in sorted(fields.items()):
        match name.decode().split("\t"):
            case "requests", method, route, status:
                totals.counts[method, route, status] = int(count)
            case "bucket", route, number:
                totals.latencies.setdefault(route, RouteLatency()).counts[int(number)] = int(count)
            case "us", route:
                totals.latencies.setdefault(route, RouteLatency()).seconds = int(count) / 1e6
    return totals
