"""What the three tiers keep of a value, and how the second one writes it down. Pure."""

import struct
import zlib
from typing import Any, NamedTuple

import msgspec

from caching.choices import State, Tier

# Sixteen digits of the stamp first, since Redis compares them as text; then the checksum of all that follows.
STAMP_DIGITS = 16
HEAD = struct.Struct("!Iqddddd32s")
decode = msgspec.json.Decoder().decode  # a little faster than orjson's, which writes faster


class Record(NamedTuple):
    """data: JSON. Times in seconds since 1970, by the database's clock.

    stamp: microseconds; grows with each write of the key. row: its id in the table, 0 where hits are not kept by row.
    confidence: 0 to 1. digest: SHA-256 of the data, 32 bytes, or nothing.
    """

    data: bytes
    stamp: int
    row: int = 0
    made_at: float = 0.0
    due_at: float = float("inf")  # from then on one reader refreshes it
    stale_at: float = float("inf")
    gone_at: float = float("inf")
    confidence: float = 0.0
    digest: bytes = b""

    def state(self, now: float) -> State:
        if now < self.stale_at:
            return State.FRESH
        return State.STALE if now < self.gone_at else State.MISSING


class Corrupt(ValueError):
    """These bytes are no record, or not as they were written."""


def stamped(stamp: int) -> bytes:
    return b"%0*d" % (STAMP_DIGITS, stamp)


def pack(record: Record) -> bytes:
    data, stamp, *rest, digest = record
    first, head = stamped(stamp), HEAD.pack(0, *rest, digest.ljust(32, b"\0"))[4:]
    checksum = zlib.crc32(data, zlib.crc32(head, zlib.crc32(first)))
    return b"%b%b%b%b" % (first, checksum.to_bytes(4, "big"), head, data)


def unpack(frame: bytes) -> Record | None:
    """None for the mark that a deleted value leaves. Raises Corrupt."""
    if len(frame) == STAMP_DIGITS and frame.isdigit():
        return None
    try:
        checksum, row, made_at, due_at, stale_at, gone_at, confidence, digest = HEAD.unpack_from(frame, STAMP_DIGITS)
        stamp = int(frame[:STAMP_DIGITS])
    except (struct.error, ValueError):
        raise Corrupt from None
    if zlib.crc32(memoryview(frame)[STAMP_DIGITS + 4 :], zlib.crc32(frame[:STAMP_DIGITS])) != checksum:
        raise Corrupt
    return Record(frame[STAMP_DIGITS + HEAD.size :], stamp, row, made_at, due_at, stale_at, gone_at, confidence, digest)


class Found(NamedTuple):
    """What a look-up found; age_seconds since it was computed. `value` is decoded anew each time it is asked for."""

    state: State
    tier: Tier
    record: Record
    age_seconds: float
    is_due: bool

    @property
    def value(self) -> Any:
        """Raises ValueError where the state is MISSING."""
        if self.state is State.MISSING:
            raise ValueError("there is no value")
        return decode(self.record.data)
