"""Many small requests, a bounded number of them at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def gather(ask: Callable[[Item], Awaitable[Answer]], items: Iterable[Item], width: int) -> list[Answer]:
    """Return the answers, in the order of the items, with at most `width` requests in flight."""
    gate = asyncio.Semaphore(width)

    async def one(item: Item) -> Answer:
        async with gate:
            return await ask(item)

    return await asyncio.gather(*(one(item) for item in items))
