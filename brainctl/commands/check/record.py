"""The recording of a history from the endpoints of the command line."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from random import SystemRandom
from typing import TYPE_CHECKING, NamedTuple

from brainctl.cli.endpoints import endpoints, one
from brainctl.cli.progress import progress, seconds
from brainctl.cli.session import Session
from brainctl.cli.signals import told_to_stop
from brainctl.clock import SystemClock

if TYPE_CHECKING:
    from brainctl.client.recorder.recording import Recorded


class Load(NamedTuple):
    """Options of a recording."""

    workload: str
    clients: int
    per_second: int
    seconds: float
    prefix: str
    """Empty for a new name."""
    compact: bool


async def record(session: Session, load: Load, write: Callable[[bytes], object]) -> "Recorded":
    """Record the endpoints until the time is over or a signal comes.

    Raises:
        InvalidInput: The prefix has keys.
        BrainctlError: The store cannot be reached.
    """
    from brainctl.client.recorder.recording import Recording, Wanted

    clock, random = SystemClock(), SystemRandom()
    prefix = load.prefix or f"/brainctl-check/{random.getrandbits(64):016x}/"
    wanted = Wanted(prefix, load.workload, load.clients, load.per_second, load.seconds, load.compact)
    async with AsyncExitStack() as opened:
        stores = [
            (name, await opened.enter_async_context(one(session, name)))
            for name in await endpoints(session, cluster=False)
        ]
        stop = await opened.enter_async_context(told_to_stop())
        shown = opened.enter_context(progress("recording", seconds))
        began = clock.monotonic()

        def on_progress() -> None:
            shown(min(int(clock.monotonic() - began), int(load.seconds)), int(load.seconds))

        return await Recording(stores, wanted, write, clock, random, on_progress).run(stop)
