"""Django's cache API over the three tiers, for values that JSON can hold: CACHES["derived"]."""

import hashlib
from typing import Any

import orjson
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache, memcache_key_warnings

from caching.choices import State
from caching.tiers import values

MAX_KEY_BYTES = 255
NAMES_KEPT = 10_000
LONGEST_SECONDS = 100 * 365 * 86400.0  # what a timestamp holds


class DerivedCache(BaseCache):
    """A value is there until its expiry and not a moment longer. Values come back as JSON has them, so what JSON does
    not hold as it is (a tuple, bytes, a date, NaN) is refused with TypeError. All aliases share one table: a KEY_PREFIX
    keeps their keys apart, and `clear` empties all of it.
    """

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._names: dict[tuple[str, int], str] = {}

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        found = values.get(self._key(key, version))
        return default if found.state is State.MISSING else found.value

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        name, data, seconds = self._key(key, version), encode(value), self._seconds(timeout)
        if seconds is not None and seconds <= 0:
            values.delete(name)
        else:
            values.make_room(self._max_entries, self._cull_frequency)
            values.put(name, data, seconds)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, data, seconds = self._key(key, version), encode(value), self._seconds(timeout)
        if seconds is not None and seconds <= 0:
            return not self.has_key(key, version)
        values.make_room(self._max_entries, self._cull_frequency)
        return values.put(name, data, seconds, only_new=True)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, seconds = self._key(key, version), self._seconds(timeout)
        if seconds is not None and seconds <= 0:
            return values.delete(name)
        return values.touch(name, seconds)

    def delete(self, key: Any, version: int | None = None) -> bool:
        return values.delete(self._key(key, version))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """In one step, whoever else counts. Raises ValueError for a key that is not there, TypeError for a value that
        is no whole number.
        """
        if not isinstance(delta, int) or abs(delta) >= 2**63:
            raise TypeError(f"{delta!r} is no whole number of 64 bits")
        counted = values.count(self._key(key, version), delta)
        if counted is not None:
            return counted
        if self.has_key(key, version):
            raise TypeError(f"the value of {key!r} is no whole number of 64 bits, or would not be one")
        raise ValueError(f"Key {key!r} not found")

    def clear(self) -> None:
        values.clear()

    def _key(self, key: Any, version: int | None) -> str:
        """What a row can hold. Names of keys without a warning are kept: making one takes longer than a look-up."""
        asked = key, self.version if version is None else version
        if type(key) is str and (known := self._names.get(asked)):
            return known
        made = str(self.make_key(key, version=version))
        self.validate_key(made)
        name = _name(made)
        if type(key) is str and not any(memcache_key_warnings(made)):
            if len(self._names) >= NAMES_KEPT:
                self._names.clear()
            self._names[asked] = name
        return name

    def _seconds(self, timeout: Any) -> float | None:
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds is None else min(float(seconds), LONGEST_SECONDS)


def _name(key: str) -> str:
    """A key that is too long, or no text, by its digest."""
    raw = key.encode("utf-8", "surrogatepass")
    if len(raw) <= MAX_KEY_BYTES and key.isprintable():
        return key
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def encode(value: Any) -> bytes:
    """Raises TypeError for what would not come back as it is."""
    try:
        data = orjson.dumps(value)
    except TypeError as error:
        raise TypeError(f"the derived cache holds JSON, and this is none: {error}") from None
    if orjson.loads(data) != value:
        raise TypeError("the derived cache holds JSON, and this would come back as something else (tuple, date, NaN?)")
    return data
