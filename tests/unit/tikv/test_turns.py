"""A revision of many changes is made in slices: told by the calls that Python makes in one turn of the event loop."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import pytest

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import steps
from brainctl.mvcc.commit import Commit
from brainctl.stores.in_process import NodeStore
from brainctl.stores.tikv import open_tikv, open_tikv_replica
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.unit.tikv.test_replica import checkpoint

MANY = 6_000
"""More changes than a commit may have that is shown in one turn."""
CALLS = 40_000
"""Calls in the largest turn: a slice makes up to 12 for each of its SLICE_KEYS, a block of the log twice as many."""


async def calls_in_a_turn(work: Awaitable[Any]) -> int:
    """Await work; the calls of Python functions, and of built-in ones, in the turn of the event loop that makes most of
    them.
    """
    loop = asyncio.get_running_loop()
    made = most = 0

    def count(_frame: FrameType, event: str, _what: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    def turn() -> None:
        nonlocal made, most, handle
        most, made = max(most, made), 0
        handle = loop.call_soon(turn)

    handle = loop.call_soon(turn)
    sys.setprofile(count)
    try:
        await work
    finally:
        sys.setprofile(None)
        handle.cancel()
    return max(most, made)


async def fill(tikv: Playground, prefix: str) -> None:
    """Bring in MANY keys with a lease, as of revision 2."""
    replica = await open_tikv_replica(tikv.url(prefix))
    await replica.take_over(checkpoint())
    await replica.import_leases([(7, 600, 600)], checkpoint())
    kv = kv_pb2.KeyValue(create_revision=2, mod_revision=2, version=1, lease=7, value=b"v").SerializeToString()
    kvs = [kv + kv_pb2.KeyValue(key=b"k%05d" % number).SerializeToString() for number in range(MANY)]
    await replica.import_base(kvs, 2, checkpoint())
    await replica.close()


async def delete(store: NodeStore) -> None:
    response = await store.delete_range(pb.DeleteRangeRequest(key=b"k", range_end=b"l", prev_kv=True))
    assert (response.deleted, len(response.prev_kvs), response.header.revision) == (MANY, MANY, 3)


async def delete_in_a_transaction(store: NodeStore) -> None:
    deletion = pb.DeleteRangeRequest(key=b"k", range_end=b"l")
    response = await store.txn(pb.TxnRequest(success=[pb.RequestOp(request_delete_range=deletion)]))
    assert (response.responses[0].response_delete_range.deleted, response.header.revision) == (MANY, 3)


async def revoke(store: NodeStore) -> None:
    assert (await store.lease_revoke(pb.LeaseRevokeRequest(ID=7))).header.revision == 3


@pytest.mark.parametrize(
    ("act", "sliced"),
    [(delete, True), (delete_in_a_transaction, True), (revoke, True), (delete, False)],
    ids=["delete", "transaction", "revoke", "control"],
)
def test_many_changes_are_one_revision_made_in_many_turns(
    tikv: Playground,
    prefix: str,
    act: Callable[[NodeStore], Awaitable[None]],
    sliced: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not sliced:
        monkeypatch.setattr(steps, "SLICE_KEYS", 1 << 60)

    async def run() -> None:
        await fill(tikv, prefix)
        store = await open_tikv(tikv.url(prefix), Role.LEADER)
        commits: list[tuple[int, int]] = []

        def note(commit: Commit) -> None:
            commits.append((commit.revision, len(commit.changes)))

        store.node.backend.subscribe(note)
        ranged = pb.RangeRequest(key=b"k", range_end=b"l", count_only=True)
        assert (await store.range(ranged)).count == MANY
        calls = await calls_in_a_turn(act(store))
        assert (calls <= CALLS) == sliced, calls
        assert commits == [(3, MANY)]
        assert (await store.range(ranged)).count == 0
        await store.close()

    asyncio.run(run())


def test_what_is_read_is_arranged_in_many_turns(tikv: Playground, prefix: str) -> None:
    """Names alone, a sorted list, and a count at an old revision, for which the log is read."""

    async def run() -> None:
        await fill(tikv, prefix)
        store = await open_tikv(tikv.url(prefix), Role.LEADER)
        for fields in ({}, {"sort_target": pb.RangeRequest.VERSION, "sort_order": pb.RangeRequest.DESCEND}):
            names = pb.RangeRequest(key=b"k", range_end=b"l", keys_only=True, **fields)
            answer = asyncio.ensure_future(store.range(names))
            calls = await calls_in_a_turn(answer)
            assert calls <= CALLS
            assert len((await answer).kvs) == MANY
        puts = [pb.RequestOp(request_put=pb.PutRequest(key=b"k%05d" % number)) for number in range(MANY)]
        await asyncio.gather(*(store.txn(pb.TxnRequest(success=puts[at : at + 120])) for at in range(0, MANY, 120)))
        await store.close()
        store = await open_tikv(tikv.url(prefix))  # which remembers nothing of the puts
        old = pb.RangeRequest(key=b"k", range_end=b"l", count_only=True, revision=2)
        answer = asyncio.ensure_future(store.range(old))
        calls = await calls_in_a_turn(answer)
        assert calls <= CALLS
        assert (await answer).count == MANY
        await store.close()

    asyncio.run(run())
