"""The choice of a transaction's branch (etcd server/etcdserver/txn/txn.go, compareToPath and applyCompare)."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.ranges import bounds, value_of
from brainctl.mvcc.steps import Steps, cost

Stretches = Callable[[bytes, bytes | None], Iterable[list[KeyVersion]]]
"""Yields the live versions of a range, as they were before the transaction, in lists (see `Ranges.stretches`)."""

_NO_VERSION = KeyVersion(b"", 0, 0, 0, 0, b"")
"""Version that a key is compared as which does not exist."""
_VERSION, _CREATE, _MOD, _VALUE, _LEASE = range(5)
_EQUAL, _GREATER, _LESS, _NOT_EQUAL = range(4)


class Branch(NamedTuple):
    """The operations that a transaction runs."""

    succeeded: bool
    operations: Sequence[pb.RequestOp]
    nested: list["Branch"]
    """The branches of the nested transactions among them, in order."""


def choose_branch(request: pb.TxnRequest, stretches: Stretches) -> Steps[Branch]:
    """Decide, from the state before the first operation, which branch runs here and in each nested transaction."""
    succeeded = True
    for guard in request.compare:
        if not (yield from holds(guard, stretches)):
            succeeded = False
            break
    operations = request.success if succeeded else request.failure
    nested: list[Branch] = []
    for operation in operations:
        if operation.WhichOneof("request") == "request_txn":
            branch = yield from choose_branch(operation.request_txn, stretches)
            nested.append(branch)
    return Branch(succeeded, operations, nested)


def holds(compare: pb.Compare, stretches: Stretches) -> Steps[bool]:
    """Return, in steps, whether a comparison holds for every live key of its range.

    A range without keys compares as one key with all numbers 0, but a comparison of its value is always false: an
    empty value and no value cannot be told apart on the wire.
    """
    empty = True
    for stretch in stretches(*bounds(compare.key, compare.range_end)):
        empty = empty and not stretch
        if not all(_related(compare.result, _order(compare, version)) for version in stretch):
            return False
        if len(stretch) > 1:
            yield cost(stretch)
    if empty:
        return compare.target != _VALUE and _related(compare.result, _order(compare, _NO_VERSION))
    return True


def _order(compare: pb.Compare, version: KeyVersion) -> int:
    """Compare what the key has with what the comparison names: return -1 (less), 0 (equal) or 1 (greater).

    A target that the comparison leaves out reads as 0 or empty.
    """
    target = compare.target
    if target == _VALUE:
        value = value_of(version)
        return (value > compare.value) - (value < compare.value)
    if target == _VERSION:
        have, want = version.version, compare.version
    elif target == _CREATE:
        have, want = version.create_revision, compare.create_revision
    elif target == _MOD:
        have, want = version.mod_revision, compare.mod_revision
    elif target == _LEASE:
        have, want = version.lease, compare.lease
    else:
        return 0
    return (have > want) - (have < want)


def _related(result: int, order: int) -> bool:
    if result == _EQUAL:
        return order == 0
    if result == _GREATER:
        return order > 0
    if result == _LESS:
        return order < 0
    if result == _NOT_EQUAL:
        return order != 0
    return True
