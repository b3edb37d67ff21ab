"""A client answers that a transaction was committed and sent nothing: what is acknowledged is there all the same."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.replica_tikv import TikvReplica
from brainctl.stores.tikv import open_tikv, open_tikv_replica
from brainctl.tikv import ahead
from brainctl.tikv import leadership as lead
from brainctl.tikv.client import open_client
from brainctl.tikv.client.transactions import OwnTransaction
from brainctl.tikv.instances import Instances
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.unit.tikv.calls import put, read, state_of
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.test_replica import checkpoint


class Swallower:
    """Swallows one commit, whoever makes it: the answer is as if it had been made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        commit = OwnTransaction.commit

        async def swallow(transaction: OwnTransaction, writes: Mapping[bytes, bytes | None]) -> int:
            self.left -= 1
            if self.left == 0:
                await transaction.rollback()
                return 1
            return await commit(transaction, writes)

        monkeypatch.setattr(OwnTransaction, "commit", swallow)


async def each(swallower: Swallower, operation: Callable[[int], Awaitable[None]]) -> int:
    """Do it again and again, with its first commit swallowed, its second and so on; returns how many it has."""
    for number in range(1, 50):
        swallower.left = number
        await operation(number)
        if swallower.left > 0:
            return number - 1
    raise AssertionError


def test_what_a_server_acknowledges(tikv: Playground, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write, a lease, a compaction and a revision of many changes; the lead is taken anew each time."""
    monkeypatch.setattr(ahead, "LARGE_CHANGES", 4)
    swallower = Swallower(monkeypatch)

    async def run() -> None:
        async def operate(number: int) -> None:
            store = await open_tikv(tikv.url(prefix), Role.LEADER)
            keys = [b"%d/%d" % (number, key) for key in range(6)]
            puts = [pb.RequestOp(request_put=pb.PutRequest(key=key)) for key in keys]
            many = await store.txn(pb.TxnRequest(success=puts))
            await store.lease_grant(pb.LeaseGrantRequest(ID=number, TTL=600))
            done = await store.put(pb.PutRequest(key=b"k", value=b"%d" % number, lease=number))
            await store.compact(pb.CompactionRequest(revision=many.header.revision, physical=True))
            await store.close()
            other = await open_tikv(tikv.url(prefix), Role.FOLLOWER)
            (found,) = (await other.range(pb.RangeRequest(key=b"k"))).kvs
            assert (found.value, found.mod_revision, found.lease) == (b"%d" % number, done.header.revision, number)
            listed = await other.range(pb.RangeRequest(key=b"%d/" % number, range_end=b"%d0" % number))
            assert {kv.key: kv.mod_revision for kv in listed.kvs} == dict.fromkeys(keys, many.header.revision)
            assert number in [lease.ID for lease in (await other.leases()).leases]
            await other.close()

        assert await each(swallower, operate) > 6

    asyncio.run(run())


def test_what_a_migration_is_told(
    tikv: Playground, prefix: str, backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints, its copy in lanes, leases, changes, and starting over."""
    swallower = Swallower(monkeypatch)

    async def run() -> None:
        async with backend_of(Role.FOLLOWER) as reader:

            async def operate(number: int) -> None:
                replica = await open_tikv_replica(tikv.url(prefix))
                held = checkpoint(number, b"%d" % number)
                await replica.take_over(held)
                await replica.reset(held)
                await copy(replica, number)
                assert (await replica.checkpoint()) == held
                assert await replica.leases() == [number]
                await replica.close()
                state = await state_of(reader)
                assert state.revision == 8
                assert len((await read(reader, b"k", b"l")).kvs) == 900
                assert (await read(reader, b"new")).kvs[0].mod_revision == 8

            async def copy(replica: TikvReplica, number: int) -> None:
                held = checkpoint(number, b"%d" % number)
                kvs = [
                    kv_pb2.KeyValue(key=b"k%03d" % n, create_revision=7, mod_revision=7, version=1) for n in range(900)
                ]
                await replica.import_base([kv.SerializeToString() for kv in kvs], 7, held)
                await replica.import_leases([(number, 600, 600)], held)
                new = kv_pb2.KeyValue(key=b"new", create_revision=8, mod_revision=8, version=1)
                await replica.apply([kv_pb2.Event(kv=new).SerializeToString()], 8, held)

            assert await each(swallower, operate) > 8

    asyncio.run(run())


def test_what_an_instance_records_about_itself(tikv: Playground, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is there, and that it has left."""
    swallower = Swallower(monkeypatch)

    async def run() -> None:
        client = open_client([tikv.endpoint])
        other = Instances(client, Layout(prefix), "other", ())

        async def operate(number: int) -> None:
            instance = Instances(client, Layout(prefix), f"name-{number}", ())
            await instance.beat()
            await other.refresh()
            assert instance.mine in other.members
            await instance.leave()
            await other.refresh()
            assert other.members == (other.mine,)

        assert await each(swallower, operate) == 2
        await client.close()

    asyncio.run(run())


def test_sealing_a_commit_that_does_not_end(backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a head that was really rewritten keeps a transaction that is still under way from happening later."""
    swallower = Swallower(monkeypatch)

    async def run() -> None:
        async with backend_of() as backend:
            writer = backend.writer._lead
            swallower.left = 1
            tried = writer.head._replace(sequence=writer.head.sequence + 1)
            assert not await writer._rule_out(tried)
            assert (await state_of(backend)).head == writer.head
            assert writer.head.sequence > tried.sequence

    asyncio.run(run())


def test_the_control_without_reading_back_a_write_is_lost(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believe(*_: object) -> bool:
        return True

    monkeypatch.setattr(lead.Leadership, "_read_back", believe)
    swallower = Swallower(monkeypatch)

    async def run() -> None:
        async with backend_of() as backend:
            swallower.left = 1
            await put(backend, b"k")
            assert not (await read(backend, b"k")).kvs

    asyncio.run(run())


def test_what_was_begun_to_read_a_commit_back_is_ended(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next commit, or after a while: the package panics when a transaction is dropped that was never ended."""
    monkeypatch.setattr(lead, "FRESH_SECONDS", 0.01)

    async def run() -> None:
        async with backend_of() as backend:
            await put(backend, b"k")
            writer = backend.writer._lead
            async with asyncio.timeout(120):
                while writer._begun is not None or writer._closing:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.01)
            assert await put(backend, b"k") == 3

    asyncio.run(run())
