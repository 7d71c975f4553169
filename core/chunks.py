"""Long streams of items, taken in lists of a bounded length."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in order, in lists of `size`; the last list may be shorter. An empty stream yields nothing."""
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk
