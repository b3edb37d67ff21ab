"""SIGINT and SIGTERM as an event: the command ends in order."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

Result = TypeVar("Result")


@asynccontextmanager
async def told_to_stop() -> AsyncIterator[asyncio.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; in the block these signals do nothing else."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


async def until(work: Coroutine[None, None, Result], *ends: asyncio.Event) -> Result | None:
    """Wait for `work` and return its result; cancel it and return None when one of the events is set first."""
    task = asyncio.ensure_future(work)
    waiting = [asyncio.ensure_future(event.wait()) for event in ends]
    try:
        await asyncio.wait([task, *waiting], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, *waiting):
            if not one.done():
                one.cancel()
                with suppress(asyncio.CancelledError):
                    await one
