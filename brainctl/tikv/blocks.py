"""Cache blocks of the revision log in memory. A block never changes once it is written."""

from collections import OrderedDict
from collections.abc import Iterable

from brainctl.tikv.client import Reader
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.value_codec import Stored, unpack_block

CACHED_BYTES = 32 << 20
"""Bytes of blocks that are kept in memory, as they are stored (32 MiB)."""


class Blocks:
    """An LRU cache of the blocks read or written last, by position."""

    def __init__(self, layout: Layout, limit: int = CACHED_BYTES) -> None:
        self._layout = layout
        self._limit = limit
        self._known: OrderedDict[bytes, tuple[int, list[Stored]]] = OrderedDict()
        self._bytes = 0

    def add(self, place: bytes, value: bytes) -> list[Stored]:
        """Unpack a block and remember it. Beyond the limit the blocks that were used longest ago are evicted.

        Raises:
            StoreDamaged: the value is not a block.
        """
        known = self._known.get(place)
        if known is not None:
            self._known.move_to_end(place)
            return known[1]
        changes = unpack_block(value)
        self._known[place] = (len(value), changes)
        self._bytes += len(value)
        while self._bytes > self._limit:
            _, (size, _) = self._known.popitem(last=False)
            self._bytes -= size
        return changes

    def clear(self) -> None:
        """Forget all blocks. A store that was started over uses the same positions for other blocks."""
        self._known.clear()
        self._bytes = 0

    async def load(self, reader: Reader, places: Iterable[bytes], upto: int) -> dict[bytes, list[Stored]]:
        """Return those of the blocks that exist, by position, from memory or from TiKV.

        Args:
            reader: the snapshot or transaction from which missing blocks are read.
            places: positions of blocks.
            upto: the newest revision. Blocks beyond it may be replaced by others and are not remembered.

        Raises:
            StoreDamaged: a value in the log is not a block.
            TikvFailed: TiKV does not answer.
        """
        beyond = upto.to_bytes(8)
        found: dict[bytes, list[Stored]] = {}
        missing = []
        for place in dict.fromkeys(places):
            known = self._known.get(place)
            if known is None:
                missing.append(place)
            else:
                self._known.move_to_end(place)
                found[place] = known[1]
        if missing:
            values = await reader.get([self._layout.block(place) for place in missing])
            for place in missing:
                value = values.get(self._layout.block(place))
                if value is not None:
                    found[place] = unpack_block(value) if place[:8] > beyond else self.add(place, value)
        return found
