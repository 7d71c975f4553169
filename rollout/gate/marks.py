"""Marks in Redis that make every gate answer control for a rollout before a transition is stored.

A trip mark holds the epoch and the errors that exceeded the hard limit. It binds every epoch until a transition settles
it, so an advance that races a trip loses. A blind mark expires by itself: it means that the rollout cannot be judged.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import redis

from core.redis import client, key

RELATIVE_GUARD_SECONDS = 60
BLIND_SECONDS = 30


class GateMark(NamedTuple):
    """The state of a rollout's trip, as every gate must know it.

    errors: the number of errors that exceeded the hard limit, until a transition settles the trip; else 0.
    is_blind: the control loop cannot judge the rollout.
    """

    errors: int
    is_blind: bool


def read_marks(settled_epochs: Mapping[str, int]) -> dict[str, GateMark]:
    """Return the mark of each rollout, by name, in one round trip. Raises redis.RedisError.

    settled_epochs: by name, the epoch with which the rollout was last started, aborted or tripped. Trips of earlier
        epochs are settled.
    """
    if not settled_epochs:
        return {}
    names = list(settled_epochs)
    keys = [trip_key(name) for name in names] + [blind_key(name) for name in names]
    values: list[bytes | None] = client().mget(keys)  # type: ignore[assignment]
    trips, blind_marks = values[: len(names)], values[len(names) :]
    return {
        name: GateMark(_unsettled_errors(trip, settled_epochs[name]), blind is not None)
        for name, trip, blind in zip(names, trips, blind_marks, strict=True)
    }


def read_trip_errors(rollout: str, settled_epoch: int) -> int:
    """Return the errors that tripped the rollout; 0 if it did not trip, or a transition settled it.

    Raises redis.RedisError.
    """
    return read_marks({rollout: settled_epoch})[rollout].errors


def defer_to_relative_guard(rollout: str, first_epoch: int) -> None:
    """Let the relative guard judge this stage visit for a minute, in which the count of errors trips nothing.

    first_epoch: the first epoch of the visit.
    """
    with suppress(redis.RedisError):
        client().set(relative_guard_key(rollout, first_epoch), 1, ex=RELATIVE_GUARD_SECONDS)


def mark_blind(rollout: str) -> None:
    """Let gates answer control for a rollout that cannot be judged, until this is not repeated for 30 s."""
    with suppress(redis.RedisError):
        client().set(blind_key(rollout), 1, ex=BLIND_SECONDS)


def trip_key(rollout: str) -> str:
    return key(f"trip:{rollout}")


def blind_key(rollout: str) -> str:
    return key(f"blind:{rollout}")


def relative_guard_key(rollout: str, first_epoch: int) -> str:
    return key(f"relative:{rollout}:{first_epoch}")


def _unsettled_errors(trip: bytes | None, settled_epoch: int) -> int:
    if trip is None:
        return 0
    epoch, _, errors = trip.partition(b":")
    return int(errors) if int(epoch) >= settled_epoch else 0
