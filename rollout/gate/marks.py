"""Marks in Redis that make every gate answer control for a rollout before a transition is stored.

A trip mark holds the number of errors that exceeded the hard limit. It belongs to the rollout's attempt, and a
transition that settles the trip ends the attempt. So an advance that races a trip loses, and a database that was
restored to an earlier time is not bound by later trips. A blind mark means that the rollout cannot be judged; it
expires by itself.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import redis

from core.redis import client, key

ABORT_SECONDS = 60  # longer than gates act on a row that they could read before
BLIND_SECONDS = 30


class GateMark(NamedTuple):
    """The state of a rollout's trip, as every gate must know it.

    errors: the number of errors that exceeded the hard limit, until a transition settles the trip; else 0.
    is_blind: the control loop cannot judge the rollout.
    """

    errors: int
    is_blind: bool


def read_marks(attempts: Mapping[str, str]) -> dict[str, GateMark]:
    """Return the mark of each rollout, by name, in one round trip. Raises redis.RedisError.

    attempts: the rollout's attempt, by name.
    """
    if not attempts:
        return {}
    names = list(attempts)
    keys = [trip_key(attempts[name]) for name in names] + [blind_key(name) for name in names]
    values: list[bytes | None] = client().mget(keys)  # type: ignore[assignment]
    trips, blind_marks = values[: len(names)], values[len(names) :]
    return {
        name: GateMark(errors_of(trip), blind is not None)
        for name, trip, blind in zip(names, trips, blind_marks, strict=True)
    }


def read_trip_errors(attempt: str) -> int:
    """Return the errors that tripped this attempt; 0 if it did not trip. Raises redis.RedisError."""
    trip: bytes | None = client().get(trip_key(attempt))  # type: ignore[assignment]
    return errors_of(trip)


def errors_of(trip: bytes | None) -> int:
    """Return the errors in a trip as Redis holds it, 0 if there is none."""
    return 0 if trip is None else int(trip)


def mark_aborted(attempt: str) -> None:
    """Let gates answer control for a rollout that was aborted, until they read its row. Raises redis.RedisError.

    The mark is that of a trip with one error.

    attempt: the one that the abort ended.
    """
    client().set(trip_key(attempt), 1, ex=ABORT_SECONDS)


def mark_blind(rollout: str) -> None:
    """Let gates answer control for a rollout that cannot be judged, until this is not repeated for 30 s."""
    with suppress(redis.RedisError):
        client().set(blind_key(rollout), 1, ex=BLIND_SECONDS)


def trip_key(attempt: str) -> str:
    return key(f"trip:{attempt}")


def blind_key(rollout: str) -> str:
    return key(f"blind:{rollout}")
