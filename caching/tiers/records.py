"""The record that the three tiers keep of a value, and the form in which Redis keeps it. Pure."""

import struct
import zlib
from typing import Any, NamedTuple

import msgspec

from caching.choices import Tier, ValueState

# A frame begins with the sixteen digits of the stamp, because Redis compares them as text. The checksum of everything
# else follows.
STAMP_DIGITS = 16
HEAD = struct.Struct("!Iqddddd32s")
decode = msgspec.json.Decoder().decode  # a little faster than orjson's decoder; orjson's encoder is the faster one


class Record(NamedTuple):
    """A value with its times, in seconds since 1970 by the database's clock.

    data: JSON.
    stamp: microseconds; grows with each write of the key.
    row: the id of the value's row; 0 if hits are not counted per row.
    due_at: from then on one reader refreshes the value. stale_at: from then on it is stale. gone_at: from then on it is
    missing.
    confidence: 0 to 1. digest: the SHA-256 of the data, 32 bytes, or empty.
    """

    data: bytes
    stamp: int
    row: int = 0
    made_at: float = 0.0
    due_at: float = float("inf")
    stale_at: float = float("inf")
    gone_at: float = float("inf")
    confidence: float = 0.0
    digest: bytes = b""

    def state(self, now: float) -> ValueState:
        """Return the state at a time by the database's clock."""
        if now < self.stale_at:
            return ValueState.FRESH
        return ValueState.STALE if now < self.gone_at else ValueState.MISSING


class Corrupt(ValueError):
    """The bytes are not a frame, or differ from the frame that was written."""


def stamped(stamp: int) -> bytes:
    """Return the stamp as text of fixed length, which a deleted value leaves in Redis."""
    return b"%0*d" % (STAMP_DIGITS, stamp)


def pack(record: Record) -> bytes:
    """Return the record as a frame: stamp, checksum, times, data."""
    data, stamp, *numbers, digest = record
    first, head = stamped(stamp), HEAD.pack(0, *numbers, digest.ljust(32, b"\0"))[4:]
    checksum = zlib.crc32(data, zlib.crc32(head, zlib.crc32(first)))
    return b"%b%b%b%b" % (first, checksum.to_bytes(4, "big"), head, data)


def unpack(frame: bytes) -> Record | None:
    """Return the record of a frame, or None for the stamp that a deleted value leaves. Raise Corrupt."""
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


class Lookup(NamedTuple):
    """The result of a look-up. age_seconds: since the value was computed."""

    state: ValueState
    tier: Tier
    record: Record
    age_seconds: float
    is_due: bool

    @property
    def value(self) -> Any:
        """The value, decoded each time it is read. Raises ValueError if the state is MISSING."""
        if self.state is ValueState.MISSING:
            raise ValueError("cannot decode the value: the look-up found none; compare its state with MISSING first")
        return decode(self.record.data)
