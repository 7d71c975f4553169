"""Derived values by what they are about, as the tiers hold them."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from django.db import connection

from caching import sql
from caching.choices import CacheType
from caching.tiers.records import Found, Record
from caching.tiers.row_reader import read_row
from caching.tiers.tiered_store import Store
from core.errors import WrongInput

TYPES = {cache_type.short: cache_type for cache_type in CacheType}
SUBJECT = re.compile(r"[a-zA-Z0-9_-]{1,100}")  # a slug


class Key(NamedTuple):
    """What a value is about; which version of it is served, its target says."""

    cache_type: CacheType
    sport: str
    subject: str

    @classmethod
    def parse(cls, cache_type: str, sport: str, subject: str) -> Self:
        """The type in its short form, the sport in either case. Raises WrongInput."""
        if cache_type not in TYPES:
            raise WrongInput(f"{cache_type[:20]!r} is no type of entry", f"take one of {', '.join(TYPES)}")
        if not SUBJECT.fullmatch(subject) or not re.fullmatch(r"[a-zA-Z0-9]{1,8}", sport):
            raise WrongInput(
                "sport or subject is not what a key can hold", "take letters, digits, - and _, as lebron-james"
            )
        return cls(TYPES[cache_type], sport.upper(), subject)

    def __str__(self) -> str:
        return self.cache_type.about(self.sport, self.subject)


def get(key: Key) -> Found:
    """Raises django.db.Error where only PostgreSQL could tell and does not answer."""
    return ENTRIES.get(str(key))


def record_of(data: bytes, columns: Sequence[Any]) -> Record:
    """From the columns of sql.ENTRY_RECORD, as values or as PostgreSQL writes them."""
    stamp, row, made_at, due_at, stale_at, gone_at, confidence, digest = columns
    times = float(made_at), float(due_at), float(stale_at), float(gone_at)
    return Record(data, int(stamp), int(row), *times, float(confidence), digest_of(digest))


def stamp_now() -> int:
    """Later than the stamp of whatever is written so far."""
    with connection.cursor() as cursor:
        cursor.execute(sql.NOW_STAMP)
        return int(cursor.fetchone()[0])


def digest_of(hexadecimal: str | bytes) -> bytes:
    return bytes.fromhex(hexadecimal if isinstance(hexadecimal, str) else hexadecimal.decode())


def read_entry(name: str) -> Record | None:
    short, sport, subject = name.split(":")
    found = read_row(sql.READ_ENTRY, f"{name}:", TYPES[short], sport.upper(), subject)
    return record_of(found[0], found[1:]) if found else None


ENTRIES = Store("entries", read_entry)
