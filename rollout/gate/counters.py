"""What the arms of a rollout did: counted in memory, sent to Redis every second, errors at once, and read back summed
up.

Counts belong to a rollout, an epoch and an arm; a stage visit is the sum of its epochs. Beside the totals they lie
in slots of ten seconds, for the rolling window. Sending is one script per arm, which also trips the rollout when its
errors exceed their limit: nobody has to look for it to fall. Without Redis counts are kept up to a bound; beyond it
they are dropped, and that is counted, so that a guard knows that it cannot tell.
"""

import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import redis

from core.redis import client, key
from rollout.decisions.guards import Counts
from rollout.decisions.latency import bucket
from rollout.decisions.stages import Arm

KEPT_AT_MOST = 100_000  # observations that Redis has not taken
SLOT_SECONDS = 10
LIFE_SECONDS = 400 * 86400  # longer than any stage visit that is judged as a whole
JUDGES_SECONDS = 60
BLIND_SECONDS = 30
LATENCY = "b"  # before a bucket's number
PLAIN = ("requests", "errors", "hits", "misses", "compared", "mismatches", "dropped")

# KEYS: where the totals of this epoch and arm lie, the prefix of the visit's slots, that of totals up to the epoch,
# the rollout's trip, the channel, this sending's own, and the mark that the relative guard judges. ARGV: life, slot
# length, epoch, first epoch of the visit, errors at most (-1: no limit), window in slots (0: the whole visit), arm,
# then field and count in turn. Sent twice it counts once. A trip says its epoch and errors, as 7:6.
SEND = """
if not redis.call('SET', KEYS[6], 1, 'NX', 'EX', 300) then return 0 end
local slot = math.floor(tonumber(redis.call('TIME')[1]) / tonumber(ARGV[2]))
local slots = KEYS[2]
for i = 8, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('HINCRBY', slots .. slot, ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', slots .. slot, 3600)
local limit = tonumber(ARGV[5])
if limit < 0 or redis.call('EXISTS', KEYS[7]) == 1 then return 0 end
local errors, window = 0, tonumber(ARGV[6])
if window > 0 then
  for back = 0, window do
    errors = errors + tonumber(redis.call('HGET', slots .. (slot - back), 'errors') or 0)
  end
else
  for epoch = tonumber(ARGV[4]), tonumber(ARGV[3]) do
    errors = errors + tonumber(redis.call('HGET', KEYS[3] .. epoch .. ':' .. ARGV[7], 'errors') or 0)
  end
end
if errors <= limit then return 0 end
local fell = redis.call('GET', KEYS[4])
if fell and tonumber(string.match(fell, '^%d+')) >= tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[4], ARGV[3] .. ':' .. errors, 'EX', ARGV[1])
redis.call('PUBLISH', KEYS[5], KEYS[4])
return 1"""


class Observed(NamedTuple):
    """One call of an arm. is_hit: None where nothing was looked up. is_same: None where nothing was compared."""

    rollout: str
    epoch: int
    arm: Arm
    ms: float
    is_error: bool = False
    is_hit: bool | None = None
    is_same: bool | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """What the script has to know of a rollout's stage visit. errors_at_most: of the candidate; None: no hard limit."""

    epoch: int
    first_epoch: int
    errors_at_most: int | None = None
    window_seconds: float | None = None


Place = tuple[str, int, Arm]


class Metrics:
    """Thread-safe; `observe` takes no lock. visit_of: a rollout's stage visit, by its name. on_trip: called when what
    was sent made a rollout fall.
    """

    def __init__(self, visit_of: Callable[[str], Visit | None], on_trip: Callable[[], object] = lambda: None) -> None:
        self._visit_of, self._on_trip = visit_of, on_trip
        self._new: deque[Observed] = deque()
        self._sums: dict[Place, Counter[str]] = {}
        self._sending: tuple[str, Place, Counter[str]] | None = None  # that may or may not have arrived
        self._lock = threading.Lock()
        self.wake = threading.Event()  # set when there is something that should not wait

    def observe(self, observed: Observed) -> None:
        self._new.append(observed)
        if observed.is_error and observed.arm is Arm.CANDIDATE:
            self.wake.set()

    def flush(self) -> bool:
        """Send what was counted. Returns whether Redis took all of it; what it did not is sent the next time."""
        with self._lock:
            self._add_up()
            try:
                while self._sending or self._sums:
                    if self._sending is None:
                        self._sending = uuid.uuid4().hex, *self._sums.popitem()
                    self._send(*self._sending)
                    self._sending = None
            except redis.RedisError:
                return False
            return True

    def _add_up(self) -> None:
        kept = sum(counts["requests"] for counts in self._sums.values())
        kept += self._sending[2]["requests"] if self._sending else 0
        while self._new:
            observed = self._new.popleft()
            counts = self._sums.setdefault((observed.rollout, observed.epoch, observed.arm), Counter())
            counts.update(_fields(observed) if kept < KEPT_AT_MOST else ["dropped"])
            kept += 1

    def _send(self, number: str, place: Place, counts: Mapping[str, int]) -> None:
        rollout, epoch, arm = place
        visit = self._visit_of(rollout) or Visit(epoch, epoch)
        is_of_visit = visit.first_epoch <= epoch <= visit.epoch  # else it is late, and judges nothing
        first = visit.first_epoch if is_of_visit else epoch
        limit = visit.errors_at_most if is_of_visit and arm is Arm.CANDIDATE else None
        window = round((visit.window_seconds or 0) / SLOT_SECONDS)
        places = _total(rollout, epoch, arm), _slots(rollout, first, arm), _totals(rollout), _trip(rollout)
        names = *places, key("rollouts"), key(f"metrics-sent:{number}"), _relative(rollout, first)
        told = [LIFE_SECONDS, SLOT_SECONDS, epoch, first, -1 if limit is None else limit, window, arm.value]
        pairs = [part for field, count in counts.items() for part in (field, count)]
        if client().eval(SEND, len(names), *names, *told, *pairs):
            self._on_trip()


def _fields(observed: Observed) -> Iterable[str]:
    yield "requests"
    yield f"{LATENCY}{bucket(observed.ms)}"
    if observed.is_error:
        yield "errors"
    if observed.is_hit is not None:
        yield "hits" if observed.is_hit else "misses"
    if observed.is_same is not None:
        yield "compared"
        if not observed.is_same:
            yield "mismatches"


def read(rollout: str, arm: Arm, visit: Visit) -> Counts:
    """Of the visit, or of its window. Raises redis.RedisError."""
    with client().pipeline(transaction=False) as batch:
        if visit.window_seconds:
            slot = int(client().time()[0]) // SLOT_SECONDS
            for back in range(round(visit.window_seconds / SLOT_SECONDS) + 1):
                batch.hgetall(f"{_slots(rollout, visit.first_epoch, arm)}{slot - back}")
        else:
            for epoch in range(visit.first_epoch, visit.epoch + 1):
                batch.hgetall(_total(rollout, epoch, arm))
        found: list[dict[bytes, bytes]] = batch.execute()
    summed: Counter[str] = Counter()
    for fields in found:
        summed.update({name.decode(): int(count) for name, count in fields.items()})
    latencies = {int(name[1:]): count for name, count in summed.items() if name.startswith(LATENCY)}
    return Counts(**{name: summed[name] for name in PLAIN}, latencies=latencies)


class Mark(NamedTuple):
    """fell: the errors that made it fall, until a transition settles that; else 0. is_blind: nobody can judge it."""

    fell: int
    is_blind: bool


def marks(settled: Mapping[str, int]) -> dict[str, Mark]:
    """What every gate has to know of each rollout, in one round trip. settled: by name, the epoch with which it was
    last started, aborted or taken back: a fall binds every epoch until then. Raises redis.RedisError.
    """
    names = [name for rollout in settled for name in (_trip(rollout), _blind(rollout))]
    found: list[bytes | None] = client().mget(names) if names else []  # type: ignore[assignment]
    return {
        rollout: Mark(_fell(found[at], settled[rollout]), found[at + 1] is not None)
        for at, rollout in zip(range(0, len(found), 2), settled, strict=True)
    }


def _fell(said: bytes | None, settled: int) -> int:
    epoch, _, errors = (said or b"-1:0").partition(b":")
    return int(errors) if int(epoch) >= settled else 0


def fell(rollout: str, settled: int) -> int:
    """The errors that made it fall, if no transition has settled that; else 0. Raises redis.RedisError."""
    return marks({rollout: settled})[rollout].fell


def let_relative_judge(rollout: str, first_epoch: int) -> None:
    """For a minute the plain count of errors trips nothing in this visit: the relative guard speaks."""
    with suppress(redis.RedisError):
        client().set(_relative(rollout, first_epoch), 1, ex=JUDGES_SECONDS)


def cannot_be_judged(rollout: str) -> None:
    """Gates answer control for it, until half a minute has passed without this being said."""
    with suppress(redis.RedisError):
        client().set(_blind(rollout), 1, ex=BLIND_SECONDS)


def _relative(rollout: str, first_epoch: int) -> str:
    return key(f"relative:{rollout}:{first_epoch}")


def _blind(rollout: str) -> str:
    return key(f"blind:{rollout}")


def _totals(rollout: str) -> str:
    return key(f"metrics:{rollout}:")


def _total(rollout: str, epoch: int, arm: Arm) -> str:
    return f"{_totals(rollout)}{epoch}:{arm.value}"


def _slots(rollout: str, first_epoch: int, arm: Arm) -> str:
    return key(f"metrics-slot:{rollout}:{first_epoch}:{arm.value}:")


def _trip(rollout: str) -> str:
    return key(f"trip:{rollout}")
