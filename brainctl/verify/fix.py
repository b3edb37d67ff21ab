"""Repairs of the second store by the differences of keys: values and leases become those of the first.

A write through the API of etcd makes revisions of its own, so these cannot be made equal. Each key is written only if
it still is as it was seen: a change that came meanwhile stays.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from brainctl.errors import LEASE_NOT_FOUND, ApiError, InvalidInput
from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store
from brainctl.verify.difference import Difference, ExtraKey, Mismatch, MissingKey
from brainctl.verify.reading import StoreReader
from brainctl.verify.scope import Scope
from brainctl.verify.side import Side

_FIXABLE = frozenset({"value", "lease"})
"""Fields that a write sets."""


class Step(NamedTuple):
    """A write that repairs one key."""

    key: bytes
    """The key as the second store names it."""
    wanted: kvpb.KeyValue | None
    """The KeyValue in the first store; None when the key is to be deleted."""
    seen: int
    """The mod revision in the second store; 0 when it does not have the key."""

    def request(self) -> pb.TxnRequest:
        """Return the transaction that writes the key if it still is as it was seen."""
        unchanged = pb.Compare(result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=self.key, mod_revision=self.seen)
        if self.wanted is None:
            write = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=self.key))
        else:
            put = pb.PutRequest(key=self.key, value=self.wanted.value, lease=self.wanted.lease)
            write = pb.RequestOp(request_put=put)
        return pb.TxnRequest(compare=[unchanged], success=[write])


class Plan(NamedTuple):
    """Steps that repair differences, and what they leave."""

    steps: list[Step]
    left: int
    """Number of differences that no write repairs: of revisions, leases, users and roles, and those repaired before."""


def target_of(side: Side) -> Store:
    """Return the store to write to.

    Raises:
        InvalidInput: The side is a file, which is only read.
    """
    if not isinstance(side, StoreReader) or side.kind.stands:
        raise InvalidInput("--fix writes to the store of --to, which is a file here")
    return side.store


async def plan(expected: Side, found: Store, differences: Iterable[Difference], revision: int, scope: Scope) -> Plan:
    """Return what repairs the listed differences, by the keys of the first side as they were at `revision`.

    Raises:
        InvalidInput: The first side has no values.
    """
    if expected.kind.digested:
        raise InvalidInput("--fix takes values from --from, which is a list without values here")
    steps: list[Step] = []
    left = 0
    for entry in differences:
        is_key = isinstance(entry, MissingKey | ExtraKey) or (
            isinstance(entry, Mismatch) and _FIXABLE & {*entry.fields}
        )
        if not is_key:
            left += 1
            continue
        assert isinstance(entry, MissingKey | ExtraKey | Mismatch)
        kv = None if isinstance(entry, ExtraKey) else await expected.key(entry.key, revision)
        wanted = kvpb.KeyValue.FromString(kv) if kv is not None else None
        if wanted is not None and scope.values_only:
            wanted.lease = 0
        there = scope.mapping.there(entry.key) if scope.mapping else entry.key
        now = (await found.range(pb.RangeRequest(key=there))).kvs
        if _is(now, wanted):
            left += 1
        else:
            steps.append(Step(there, wanted, now[0].mod_revision if now else 0))
    return Plan(steps, left)


def _is(now: Sequence[kvpb.KeyValue], wanted: kvpb.KeyValue | None) -> bool:
    """Return whether the second store has what is wanted: it was repaired after the revision that was compared."""
    if wanted is None or not now:
        return wanted is None and not now
    return (now[0].value, now[0].lease) == (wanted.value, wanted.lease)


async def apply(found: Store, steps: Iterable[Step]) -> tuple[int, list[bytes]]:
    """Write each step, durably, and return how many were written, and the keys that were left as they are.

    Raises:
        UnknownOutcome: The answer to a write was lost.
        ApiError: A write was refused.
    """
    written, left = 0, []
    for step in steps:
        try:
            done = (await found.txn(step.request())).succeeded
        except ApiError as error:
            if error.status != LEASE_NOT_FOUND:
                raise
            done = False
        if done:
            written += 1
        else:
            left.append(step.key)
    return written, left
