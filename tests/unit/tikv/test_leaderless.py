"""A Placement Driver that knows no leaders: what is acknowledged is there, all of it.

The connection to the store breaks in the middle of a commit, and the driver, asked for the way, knows the region and
not its leader, as after a restart. Then the leader is known again. The package sends nothing in such a case, or a part
of the transaction, and says that it was committed.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tikv_client.asynchronous import TransactionClient

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.replica_tikv import TikvReplica
from brainctl.stores.tikv import open_tikv, open_tikv_replica
from brainctl.tikv import leadership
from brainctl.tikv.backend import Role
from brainctl.tikv.client import ClientKind
from tests.peers.servers import Playground
from tests.unit.tikv.driver import Driven, driven
from tests.unit.tikv.test_replica import checkpoint

VALUE = b"the value by which the transaction is recognised"
LAST = b"the last key of all"
CLIENTS = [kind.value for kind in ClientKind]


async def interrupted(behind: Driven, work: Awaitable[object], mark: bytes = VALUE) -> object:
    """Do some work that is interrupted where it sends `mark`; returns its result, or the error that says that it was
    not done.
    """
    behind.store.hold(lambda data: mark in data, forward=False)
    pending = asyncio.ensure_future(work)
    await asyncio.wait_for(behind.store.tripped.wait(), 120)
    behind.driver.leaderless = True
    behind.store.cut()
    behind.store.release()
    await asyncio.wait_for(behind.driver.asked.acquire(), 120)
    behind.driver.leaderless = False
    (result,) = await asyncio.wait_for(asyncio.gather(pending, return_exceptions=True), 120)
    return result


def test_the_control_the_package_acknowledges_what_it_did_not_send(tikv: Playground, prefix: str) -> None:
    """Also in a transaction that has read a key of the same region before."""

    async def run() -> None:
        before, key = prefix.encode() + b"/before", prefix.encode() + b"/key"
        async with driven(tikv) as behind:
            client = await TransactionClient.connect([behind.endpoint])
            first = await client.begin()
            await first.put(before, b"1")
            await first.commit()
            second = await client.begin()
            assert await second.get(before) == b"1"
            await second.put(key, VALUE)
            assert await interrupted(behind, second.commit()) is None
        direct = await TransactionClient.connect([tikv.endpoint])
        snapshot = direct.snapshot(await direct.current_timestamp(), False)
        assert (await snapshot.get(before), await snapshot.get(key)) == (b"1", None)

    asyncio.run(run())


async def acknowledged_put(behind: Driven, prefix: str, client: str) -> object:
    """A put of a server, one at a time as in a group; returns what it was answered."""
    store = await open_tikv(f"tikv://{behind.endpoint}/{prefix}?client={client}", Role.LEADER)
    try:
        await store.put(pb.PutRequest(key=b"before"))
        return await interrupted(behind, store.put(pb.PutRequest(key=b"k", value=VALUE)))
    finally:
        await store.close()


async def values(tikv: Playground, prefix: str) -> dict[bytes, bytes]:
    """What another process finds."""
    store = await open_tikv(tikv.url(prefix), Role.FOLLOWER)
    try:
        return {kv.key: kv.value for kv in (await store.range(pb.RangeRequest(key=b"\0", range_end=b"\0"))).kvs}
    finally:
        await store.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_put_of_a_server(tikv: Playground, prefix: str, client: str) -> None:
    async def run() -> None:
        async with driven(tikv) as behind:
            answer = await acknowledged_put(behind, prefix, client)
        assert (await values(tikv, prefix)).get(b"k") == VALUE or isinstance(answer, Exception)

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_the_control_a_put_that_is_not_read_back_is_lost(
    tikv: Playground, prefix: str, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    """By the package; our own client asks the peers of the region, and says the truth without it."""

    async def believe(*_: object) -> bool:
        return True

    monkeypatch.setattr(leadership.Leadership, "_read_back", believe)

    async def run() -> None:
        async with driven(tikv) as behind:
            answer = await acknowledged_put(behind, prefix, client)
        assert isinstance(answer, pb.PutResponse)
        assert (b"k" in await values(tikv, prefix)) == (client == "own")

    asyncio.run(run())


def marked(replica: TikvReplica, _kvs: list[bytes]) -> Awaitable[None]:
    """A small record."""
    return replica.import_leases([(7, 600, 600)], checkpoint(1, b"marked " + LAST))


def copied(replica: TikvReplica, kvs: list[bytes]) -> Awaitable[None]:
    """A copy in lanes, whose record is written behind it."""
    return replica.import_base(kvs, 7, checkpoint(1, b"copied"))


def changed(replica: TikvReplica, kvs: list[bytes]) -> Awaitable[None]:
    """A piece of the history, in one transaction."""
    events = [kv_pb2.Event(kv=kv_pb2.KeyValue.FromString(kv)) for kv in kvs]
    return replica.apply([event.SerializeToString() for event in events], 7, checkpoint(1, b"changed"))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("work", [marked, copied, changed])
def test_what_a_migration_writes(
    tikv: Playground, prefix: str, work: Callable[[TikvReplica, list[bytes]], Awaitable[None]], client: str
) -> None:
    """The package divides these transactions: some of their requests arrive before the interruption, some are lost."""
    expected = {b"k%03d" % number: VALUE * 20 for number in range(899)} | {LAST: VALUE}
    fields = {"create_revision": 7, "mod_revision": 7, "version": 1}
    kvs = [kv_pb2.KeyValue(key=key, value=value, **fields).SerializeToString() for key, value in expected.items()]

    async def run() -> None:
        async with driven(tikv) as behind:
            replica = await open_tikv_replica(f"tikv://{behind.endpoint}/{prefix}?client={client}")
            await replica.take_over(checkpoint(1, b"begun"))
            mark = LAST if work is marked else b"/k/" + LAST
            result = await interrupted(behind, work(replica, kvs), mark)
            await replica.close()
        if isinstance(result, Exception):
            return
        other = await open_tikv_replica(tikv.url(prefix))
        stored = await other.checkpoint()
        leases = list(await other.leases())
        await other.close()
        assert stored is not None
        assert stored.state.startswith(work.__name__.encode())
        assert (leases == [7]) == (work is marked)
        assert work is marked or await values(tikv, prefix) == expected

    asyncio.run(run())
