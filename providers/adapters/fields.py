"""The field types and the concurrency that the adapters share.

The lengths are those of the tables' columns, so that an answer that decodes can also be stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Annotated, TypeVar

from msgspec import Meta

from providers.upstream.caller import CallFailed

Id = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(max_length=100)]
BookKey = Annotated[str, Meta(max_length=50)]
Moment = Annotated[datetime, Meta(tz=True)]

CALLS_AT_ONCE = 4
Item = TypeVar("Item")
Result = TypeVar("Result")


async def call_each(call: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """Make the call for each item, CALLS_AT_ONCE at a time. Return the results of the calls that succeeded.

    The caller of the poll has recorded those that failed.
    """
    semaphore = asyncio.Semaphore(CALLS_AT_ONCE)

    async def call_one(item: Item) -> Result | None:
        async with semaphore:
            try:
                return await call(item)
            except CallFailed:
                return None

    results = await asyncio.gather(*(call_one(item) for item in items))
    return [result for result in results if result is not None]
