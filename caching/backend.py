"""Django's cache API over the three tiers, for values that JSON can represent: CACHES["derived"]."""

import hashlib
from typing import Any

import orjson
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache, memcache_key_warnings

from caching.choices import ValueState
from caching.tiers import values

KEY_BYTES_AT_MOST = 255
NAMES_AT_MOST = 10_000
TIMEOUT_SECONDS_AT_MOST = 100 * 365 * 86400.0  # so that the expiry is a date that PostgreSQL can store


class DerivedCache(BaseCache):
    """Django's cache API. A value is returned until its expiry and never after it.

    Values come back as JSON represents them. A value that would come back as another one (a tuple, bytes, a date, NaN)
    is refused with TypeError. All aliases share one table: a KEY_PREFIX separates their keys, and `clear` empties the
    whole table.
    """

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._names: dict[tuple[str, int], str] = {}

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        lookup = values.get_value(self._name(key, version))
        return default if lookup.state is ValueState.MISSING else lookup.value

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        name, data, seconds = self._name(key, version), encode(value), self._seconds(timeout)
        if seconds is not None and seconds <= 0:
            values.delete_value(name)
        else:
            values.make_room(self._max_entries, self._cull_frequency)
            values.put_value(name, data, seconds)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, data, seconds = self._name(key, version), encode(value), self._seconds(timeout)
        if seconds is not None and seconds <= 0:
            return not self.has_key(key, version)
        values.make_room(self._max_entries, self._cull_frequency)
        return values.put_value(name, data, seconds, only_new=True)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, seconds = self._name(key, version), self._seconds(timeout)
        if seconds is not None and seconds <= 0:
            return values.delete_value(name)
        return values.touch_value(name, seconds)

    def delete(self, key: Any, version: int | None = None) -> bool:
        return values.delete_value(self._name(key, version))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add to a whole number in one atomic step, and return the sum.

        Raise ValueError if the key does not exist, TypeError if its value is no whole number of 64 bits.
        """
        if not isinstance(delta, int) or abs(delta) >= 2**63:
            raise TypeError(f"delta must be a whole number of 64 bits (got {delta!r})")
        total = values.increment_value(self._name(key, version), delta)
        if total is not None:
            return total
        if self.has_key(key, version):
            raise TypeError(
                f"cannot add to {key!r}: its value is no whole number of 64 bits, or would not be one; set it first"
            )
        raise ValueError(f"Key {key!r} not found")

    def clear(self) -> None:
        values.clear_values()

    def _name(self, key: Any, version: int | None) -> str:
        """Return the name of the key's row.

        The names of valid text keys are kept, because making one takes longer than a look-up. A key about which Django
        warns is made each time, so that it warns each time.
        """
        if type(key) is not str:
            return self._make_name(key, version)[0]
        requested = key, self.version if version is None else version
        name = self._names.get(requested)
        if name is None:
            name, is_valid = self._make_name(key, version)
            if is_valid:
                if len(self._names) >= NAMES_AT_MOST:
                    self._names.clear()
                self._names[requested] = name
        return name

    def _make_name(self, key: Any, version: int | None) -> tuple[str, bool]:
        """Return the name of the key's row, and whether Django has no warning about the key."""
        made = str(self.make_key(key, version=version))
        self.validate_key(made)
        return _row_name(made), not any(memcache_key_warnings(made))

    def _seconds(self, timeout: Any) -> float | None:
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds is None else min(float(seconds), TIMEOUT_SECONDS_AT_MOST)


def _row_name(key: str) -> str:
    """Return the key, or its digest if it is too long for the column or is not printable text."""
    raw = key.encode("utf-8", "surrogatepass")
    if len(raw) <= KEY_BYTES_AT_MOST and key.isprintable():
        return key
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def encode(value: Any) -> bytes:
    """Return the value as JSON. Raise TypeError if it would not come back as it is."""
    try:
        data = orjson.dumps(value)
    except TypeError as error:
        raise TypeError(f"cannot store the value: the derived cache holds JSON, and this is none: {error}") from None
    if orjson.loads(data) != value:
        raise TypeError(
            "cannot store the value: the derived cache holds JSON, and it would come back as another one; "
            "use lists for tuples, texts for dates, and None for NaN"
        )
    return data
