"""Field types that the adapters share: as long as the tables' columns, so that no answer breaks its own storing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Annotated, TypeVar

from msgspec import Meta

from providers.polling.caller import CallFailed

Id = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(max_length=100)]
BookKey = Annotated[str, Meta(max_length=50)]
Moment = Annotated[datetime, Meta(tz=True)]

CALLS_AT_ONCE = 4
T = TypeVar("T")
U = TypeVar("U")


async def each(call: Callable[[T], Awaitable[U]], of: Iterable[T]) -> list[U]:
    """Make the call for each, a few at once; those that fail are on record, and the others still count."""
    several = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(item: T) -> U | None:
        async with several:
            try:
                return await call(item)
            except CallFailed:
                return None

    return [answer for answer in await asyncio.gather(*map(one, of)) if answer is not None]
