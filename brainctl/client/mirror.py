"""A copy of keys and values from one store into another: first their present state, then each change."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from itertools import groupby
from typing import NamedTuple

from brainctl.client.resumable_watch import resumed
from brainctl.errors import ConnectionFailed, TimedOut, UnknownOutcome
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.prefix import prefix_end
from brainctl.stores.pages import Pager
from brainctl.stores.store import Store

_TXN_BYTES = 1 << 20
"""About how many bytes of keys and values one transaction has; etcd accepts 1.5 MiB."""
_PAUSE = 0.5
"""Seconds before a write is sent again."""


class Renaming(NamedTuple):
    """Selection of the keys to copy, and their names in the copy."""

    prefix: bytes
    instead: bytes

    def range(self) -> tuple[bytes, bytes]:
        """Return key and range_end of all keys that are copied."""
        return (self.prefix, prefix_end(self.prefix)) if self.prefix else (b"\0", b"\0")

    def name(self, key: bytes) -> bytes:
        """Return the name of a key in the copy."""
        return self.instead + key[len(self.prefix) :]


class Mirror:
    """Copies until it is cancelled.

    A write whose outcome is unknown is sent again: a second time it has the same effect.
    """

    def __init__(self, source: Store, target: Store, renaming: Renaming, max_ops: int) -> None:
        self.copied = 0
        """The number of changes that are in the target."""
        self._source = source
        self._target = target
        self._renaming = renaming
        self._max_ops = max_ops

    async def base(self) -> int:
        """Copy all keys as they are at one revision, and return that revision.

        Raises:
            ApiError: COMPACTED, when the revision is compacted before all keys are read.
        """
        key, end = self._renaming.range()
        pager, revision = Pager(self._source), 0
        try:
            while True:
                page = await pager.page(key, end, revision)
                revision = revision or page.header.revision
                for ops in _batches((self._put(kv) for kv in page.kvs), self._max_ops):
                    await self._write(ops)
                if not page.more:
                    return revision
                key = page.kvs[-1].key + b"\0"
        finally:
            await pager.close()

    async def follow(self, revision: int) -> None:
        """Copy the changes from `revision` on, until cancelled.

        Each revision is one transaction if it has no more than `max_ops` changes and fits _TXN_BYTES.

        Raises:
            ApiError: COMPACTED, when changes to copy were compacted.
        """
        key, end = self._renaming.range()
        create = pb.WatchCreateRequest(key=key, range_end=end, start_revision=revision)
        async with aclosing(resumed(self._source, create)) as responses:
            async for response in responses:
                for _, events in groupby(response.events, lambda event: event.kv.mod_revision):
                    for ops in _batches((self._change(event) for event in events), self._max_ops):
                        await self._write(ops)

    def _put(self, kv: kv_pb2.KeyValue) -> pb.RequestOp:
        return pb.RequestOp(request_put=pb.PutRequest(key=self._renaming.name(kv.key), value=kv.value))

    def _change(self, event: kv_pb2.Event) -> pb.RequestOp:
        if event.type == kv_pb2.Event.PUT:
            return self._put(event.kv)
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=self._renaming.name(event.kv.key)))

    async def _write(self, ops: list[pb.RequestOp]) -> None:
        """Write operations in one transaction.

        Repeat it while its outcome is unknown or the target cannot be reached.
        """
        while True:
            try:
                await self._target.txn(pb.TxnRequest(success=ops))
            except (ConnectionFailed, TimedOut, UnknownOutcome):
                await asyncio.sleep(_PAUSE)
            else:
                self.copied += len(ops)
                return


def _batches(ops: Iterable[pb.RequestOp], max_ops: int) -> Iterator[list[pb.RequestOp]]:
    """Yield as many operations at a time as a transaction may have, by number and by size."""
    batch: list[pb.RequestOp] = []
    room = _TXN_BYTES
    for op in ops:
        need = op.ByteSize()
        if batch and (len(batch) == max_ops or need > room):
            yield batch
            batch, room = [], _TXN_BYTES
        batch.append(op)
        room -= need
    if batch:
        yield batch
