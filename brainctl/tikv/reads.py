"""Read the newest state at shared timestamps: the requests of one turn of the event loop go to TiKV together."""

import asyncio
from collections.abc import Iterable

from brainctl.tikv.blocks import Blocks
from brainctl.tikv.client import Client
from brainctl.tikv.counts import Counts
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Head


class Reads:
    """Gives out the state of a store at timestamps that are not older than the request for them."""

    def __init__(self, client: Client, layout: Layout, blocks: Blocks, counts: Counts | None = None) -> None:
        """Create the reads of a store with `counts` of its keys, which the caller keeps up to date."""
        self._client = client
        self._layout = layout
        self._blocks = blocks
        self._counts = counts
        self._next: asyncio.Task[StateView] | None = None
        self._wanted: set[bytes] = set()
        self._epoch = 0
        self._clock = (0, 0.0)
        """Milliseconds of the cluster's clock at a time of the event loop in seconds."""

    def now_seconds(self) -> float:
        """Return the time of the cluster's clock, as it goes on since a state was read last."""
        milliseconds, asked = self._clock
        return milliseconds / 1000 + asyncio.get_running_loop().time() - asked

    async def state(self, keys: Iterable[bytes] = ()) -> StateView:
        """Return the state at a timestamp taken after this call, with the live versions of `keys` loaded.

        Raises:
            TikvFailed: TiKV does not answer.
            StoreDamaged: the head is not one.
        """
        self._wanted.update(map(self._layout.live, keys))
        if self._next is None:
            self._next = asyncio.ensure_future(self._fetch())
        return await asyncio.shield(self._next)

    async def _fetch(self) -> StateView:
        # Requests that arrive from here on need a later timestamp.
        self._next = None
        wanted, self._wanted = [self._layout.head, *self._wanted], set()
        timestamp = await self._client.timestamp()
        self._clock = timestamp >> 18, asyncio.get_running_loop().time()
        snapshot = await self._client.snapshot(timestamp)
        values = await snapshot.get(wanted)
        head = Head.unpack(values.get(self._layout.head))
        if head.epoch != self._epoch:
            # A take-over may have started the store over, and then the same positions hold other blocks.
            self._blocks.clear()
            self._epoch = head.epoch
        loaded = {key: values.get(key) for key in wanted}
        state = StateView(self._layout, snapshot, head, self._blocks, loaded, self._counts)
        state.time_ms = timestamp >> 18
        return state
