"""Derived values by their subject, as the tiers hold them."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from django.db import connection

from caching import sql
from caching.choices import CacheType
from caching.tiers.records import Lookup, Record
from caching.tiers.row_reader import read_row
from caching.tiers.tiered_store import TieredStore
from core.errors import WrongInput

TYPES = {cache_type.short: cache_type for cache_type in CacheType}
SUBJECT = re.compile(r"[a-zA-Z0-9_-]{1,100}")  # a slug
SPORT = re.compile(r"[a-zA-Z0-9]{1,8}")


class Key(NamedTuple):
    """The subject of a value. The target of the subject decides which version of the value is served."""

    cache_type: CacheType
    sport: str
    subject: str

    @classmethod
    def parse(cls, cache_type: str, sport: str, subject: str) -> Self:
        """Return the key of the type's short form, the sport in either case, and the subject. Raise WrongInput."""
        if cache_type not in TYPES:
            raise WrongInput(f"type must be one of {', '.join(TYPES)} (got {cache_type[:20]!r})", "see /api/v1/docs")
        if not SPORT.fullmatch(sport):
            raise WrongInput(f"sport must be 1 to 8 letters and digits (got {sport[:20]!r})", "for example nba")
        if not SUBJECT.fullmatch(subject):
            raise WrongInput(
                f"subject must be 1 to 100 letters, digits, - and _ (got {subject[:20]!r})", "for example lebron-james"
            )
        return cls(TYPES[cache_type], sport.upper(), subject)

    def __str__(self) -> str:
        return self.cache_type.about(self.sport, self.subject)


def get_entry(key: Key) -> Lookup:
    """Look the value up in the tiers.

    Raise django.db.Error if only PostgreSQL could answer, and it does not.
    """
    return ENTRIES.get(str(key))


def record_of(data: bytes, columns: Sequence[Any]) -> Record:
    """Return the record of a row. columns: those of sql.ENTRY_RECORD, as values or as PostgreSQL writes them."""
    stamp, row, made_at, due_at, stale_at, gone_at, confidence, digest = columns
    times = float(made_at), float(due_at), float(stale_at), float(gone_at)
    return Record(data, int(stamp), int(row), *times, float(confidence), digest_of(digest))


def stamp_now() -> int:
    """Return a stamp that is later than that of every write so far."""
    with connection.cursor() as cursor:
        cursor.execute(sql.NOW_STAMP)
        return int(cursor.fetchone()[0])


def digest_of(hexadecimal: str | bytes) -> bytes:
    """Return the 32 bytes of a SHA-256 that is written in hexadecimal digits."""
    return bytes.fromhex(hexadecimal if isinstance(hexadecimal, str) else hexadecimal.decode())


def read_entry(name: str) -> Record | None:
    """Return the record of a key (type, sport and subject) from the table, or None if there is no such entry."""
    short, sport, subject = name.split(":")
    row = read_row(sql.READ_ENTRY, f"{name}:", TYPES[short], sport.upper(), subject)
    return record_of(row[0], row[1:]) if row else None


ENTRIES = TieredStore("entries", read_entry)
