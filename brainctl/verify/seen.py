"""Two sides as a scope lets them be seen: with keys of other names, with values only, or with hashes of values."""

from collections.abc import Callable
from hashlib import blake2b

from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.stores.auth import AuthReader
from brainctl.verify.diff import Page
from brainctl.verify.range_hashes import Leaves, RangeHashes, leaves_in
from brainctl.verify.scope import Mapping, Scope
from brainctl.verify.side import Side, SideKind

Change = Callable[[kvpb.KeyValue], None]
"""Changes a KeyValue to what is compared of it."""


def seen(expected: Side, found: Side, scope: Scope) -> tuple[Side, Side]:
    """Return two sides that can be compared with each other in a scope."""
    changes: list[Change] = []
    if scope.values_only:
        changes.append(_keep_value)
    digested = expected.kind.digested or found.kind.digested
    if not changes and not digested and scope.mapping is None:
        return expected, found

    def one(side: Side, mapping: Mapping | None) -> Side:
        own = [*changes, *([_digest] if digested and not side.kind.digested else [])]
        return Seen(side, own, mapping, scope)

    return one(expected, None), one(found, scope.mapping)


class Seen:
    """A side whose KeyValues are changed when they are read."""

    def __init__(self, side: Side, changes: list[Change], mapping: Mapping | None, scope: Scope) -> None:
        """Create the view of a side.

        Args:
            side: The side.
            changes: What is done to each KeyValue.
            mapping: How its keys are named on the first side; None when they are named the same.
            scope: The scope, which says whether hashes of whole KeyValues mean anything.
        """
        self._side = side
        self._changes = changes
        self._mapping = mapping
        self._hashes = scope.mapping is None and not scope.values_only
        self._pins = scope.values_only
        self._pinned = 0
        """The revision that is read when each side is read at its own."""

    @property
    def read_bytes(self) -> int:
        """See `Side.read_bytes`."""
        return self._side.read_bytes

    @property
    def kind(self) -> SideKind:
        """See `Side.kind`."""
        return self._side.kind

    async def revision(self) -> int:
        """See `Side.revision`."""
        self._pinned = await self._side.revision()
        return self._pinned

    async def page(self, start: bytes, end: bytes, revision: int) -> Page:
        """See `Side.page`."""
        if self._mapping is None:
            page = await self._side.page(start, end, self._at(revision))
            return Page(page.keys, list(map(self._changed, page.kvs)), page.next)
        there, back = self._mapping.there, self._mapping.back
        page = await self._side.page(there(start), there(end), self._at(revision))
        upto = end if page.next == there(end) else back(page.next)
        return Page(list(map(back, page.keys)), list(map(self._changed, page.kvs)), upto)

    async def leaves(self, start: bytes, end: bytes, revision: int) -> Leaves:
        """See `Side.leaves`."""
        if self._hashes:
            return await self._side.leaves(start, end, revision)
        return leaves_in(await self.page(start, end, revision))

    async def key(self, key: bytes, revision: int) -> bytes | None:
        """See `Side.key`."""
        there = key if self._mapping is None else self._mapping.there(key)
        kv = await self._side.key(there, self._at(revision))
        return None if kv is None else self._changed(kv)

    async def leases(self) -> dict[int, int]:
        """See `Side.leases`."""
        return await self._side.leases()

    async def hashes(self) -> RangeHashes | None:
        """See `Side.hashes`."""
        return await self._side.hashes() if self._hashes else None

    def accounts(self) -> AuthReader | None:
        """See `Side.accounts`."""
        return self._side.accounts()

    async def close(self) -> None:
        """See `Side.close`."""
        await self._side.close()

    def _at(self, revision: int) -> int:
        return self._pinned if self._pins else revision

    def _changed(self, marshalled: bytes) -> bytes:
        kv = kvpb.KeyValue.FromString(marshalled)
        if self._mapping is not None:
            kv.key = self._mapping.back(kv.key)
        for change in self._changes:
            change(kv)
        return kv.SerializeToString()


def value_digest(value: bytes) -> bytes:
    """Return what stands for a value where values are not kept: its BLAKE2b of 32 bytes."""
    return blake2b(value, digest_size=32, person=b"brainctl value").digest()


def _digest(kv: kvpb.KeyValue) -> None:
    kv.value = value_digest(kv.value)


def _keep_value(kv: kvpb.KeyValue) -> None:
    """Clear everything but key and value."""
    for name in ("create_revision", "mod_revision", "version", "lease"):
        kv.ClearField(name)
