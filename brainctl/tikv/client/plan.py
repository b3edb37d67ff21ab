"""Decide what a commit sends: without I/O."""

from collections.abc import Mapping, Sequence

from brainctl.tikv.client import limits
from brainctl.tikv.client.regions import batches
from brainctl.tikvpb import kvrpcpb_pb2 as kv

UNDETERMINED = "the answer to a commit was lost, and it may have happened"
_CHECKED = kv.PrewriteRequest.DO_PESSIMISTIC_CHECK


class Plan:
    """The writes of one transaction, and the requests that commit them."""

    def __init__(
        self, start: int, writes: Mapping[bytes, bytes | None], locked: Sequence[bytes] = (), for_update: int = 0
    ) -> None:
        """Plan a commit.

        Args:
            start: the timestamp of the transaction.
            writes: values by key; None deletes. There is at least one.
            locked: keys that the transaction has locked beforehand; the first is the primary then.
            for_update: the latest timestamp at which they were locked.
        """
        self.start = start
        self._writes = writes
        self._locked = frozenset(locked)
        self._for_update = for_update
        self.keys = sorted({*writes, *locked})
        self.primary = locked[0] if locked else self.keys[0]
        self.size = sum(map(self._size, self.keys))

    def one_phase(self, keys: Sequence[bytes]) -> bool:
        """Return whether the prewrite of these keys of one region may be the whole commit."""
        return len(keys) == len(self.keys) and self.size <= limits.ONE_PHASE_BYTES

    def prewrite_batches(self, keys: Sequence[bytes]) -> list[list[bytes]]:
        """Return keys of one region in batches, each for one request of the first phase."""
        if self.one_phase(keys):
            return [list(keys)]
        return batches(((key, self._size(key)) for key in keys), limits.PREWRITE_BYTES)

    def commit_batches(self, keys: Sequence[bytes]) -> list[list[bytes]]:
        """Return keys of one region in batches, each for one request of the second phase; the primary comes first."""
        ordered = sorted(keys, key=lambda key: key != self.primary)
        return batches(((key, len(key)) for key in ordered), limits.COMMIT_BYTES)

    def prewrite(self, keys: Sequence[bytes], ttl: int, min_commit: int, in_region: int) -> kv.PrewriteRequest:
        """Return the request of the first phase for keys.

        Args:
            keys: of one region.
            ttl: milliseconds since the start of the transaction for which the locks hold.
            min_commit: the smallest timestamp of the commit.
            in_region: how many keys of the transaction are in the region.
        """
        request = kv.PrewriteRequest(
            mutations=map(self._mutation, keys),
            primary_lock=self.primary,
            start_version=self.start,
            lock_ttl=ttl,
            txn_size=in_region,
            min_commit_ts=min_commit,
            try_one_pc=self.one_phase(keys),
        )
        if self._locked:
            request.for_update_ts = self._for_update
            request.pessimistic_actions.extend([_CHECKED] * len(keys))
        return request

    def _size(self, key: bytes) -> int:
        return len(key) + len(self._writes.get(key) or b"") + 16

    def _mutation(self, key: bytes) -> kv.Mutation:
        if key not in self._writes:
            return kv.Mutation(op=kv.Lock, key=key)
        value = self._writes[key]
        return kv.Mutation(op=kv.Del, key=key) if value is None else kv.Mutation(op=kv.Put, key=key, value=value)
