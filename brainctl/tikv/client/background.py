"""Let things run that nobody waits for, and wait for them before the client is closed."""

import asyncio
from collections.abc import Coroutine

from brainctl.tikv.errors import TikvFailed


class Background:
    """The tasks of one client that nobody waits for. Those that fail with TikvFailed have done no harm."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run something in the background."""
        task = asyncio.ensure_future(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Wait for what still runs, and cancel what takes longer than `seconds`."""
        tasks = list(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def _quietly(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except TikvFailed:
        return
