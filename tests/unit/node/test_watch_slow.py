"""A watcher that does not read, over a real connection: it costs the server no backlog, and misses nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.node import Node
from brainctl.server.app import Server
from brainctl.stores.in_process import open_directory, open_node

VALUE = b"x" * 20_000
PUTS = 1500
BACKLOG = len(VALUE) * PUTS
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.http2.bdp_probe", 0)]
"""The client's window stays at 64 KiB, instead of growing with what the server has to send."""
Call = grpc.aio.StreamStreamCall


@asynccontextmanager
async def watching(directory: Path) -> AsyncIterator[tuple[Node, Call]]:
    """A node behind a server, and a client that watches every key."""
    node = open_node(directory)
    server = Server(node)
    address = await server.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            call = channel.stream_stream("/etcdserverpb.Watch/Watch")()
            create = pb.WatchCreateRequest(key=b"\0", range_end=b"\0", watch_id=7)
            await call.write(pb.WatchRequest(create_request=create).SerializeToString())
            assert pb.WatchResponse.FromString(await call.read()).created
            yield node, call
            call.cancel()
    finally:
        await server.stop(grace_seconds=1)
        await node.close()


async def put_all(node: Node) -> None:
    """Put many large values, some at a time."""
    done = asyncio.Semaphore(0)
    for number in range(PUTS):
        body = pb.PutRequest(key=b"k%d" % (number % 10), value=VALUE).SerializeToString()
        node.call("/etcdserverpb.KV/Put", body, lambda _: done.release())
        if number % 20 == 19:
            for _ in range(20):
                await done.acquire()


def sent(node: Node) -> list[int]:
    """Counts the bytes that the node hands to the transport."""
    total: list[int] = []
    for session in node._watch._sessions:
        stream = session.stream
        inner = stream.send

        def count(body: bytes, inner=inner) -> None:  # noqa: ANN001 - the stream's own send
            total.append(len(body))
            inner(body)

        stream.send = count
    return total


def test_it_reads_everything_later(tmp_path: Path) -> None:
    async def run() -> None:
        async with watching(tmp_path) as (node, call):
            total = sent(node)
            await put_all(node)
            assert sum(total) < BACKLOG / 4, "the backlog must not wait in memory"
            assert any(session.stream.parked for session in node._watch._sessions)
            seen: list[int] = []
            while len(seen) < PUTS:
                response = pb.WatchResponse.FromString(await call.read())
                seen += [event.kv.mod_revision for event in response.events]
            assert seen == list(range(2, PUTS + 2))

    asyncio.run(asyncio.wait_for(run(), 120))


def test_it_is_told_when_what_it_missed_is_compacted(tmp_path: Path) -> None:
    async def run() -> None:
        async with watching(tmp_path) as (node, call):
            await put_all(node)
            done = asyncio.Event()
            compact = pb.CompactionRequest(revision=PUTS).SerializeToString()
            node.call("/etcdserverpb.KV/Compact", compact, lambda _: done.set())
            await done.wait()
            seen: list[int] = []
            while not (response := pb.WatchResponse.FromString(await call.read())).canceled:
                seen += [event.kv.mod_revision for event in response.events]
            assert response.compact_revision == PUTS
            assert seen == list(range(2, len(seen) + 2))
            assert len(seen) < PUTS / 2

    asyncio.run(asyncio.wait_for(run(), 120))


def test_a_reader_in_the_same_process_holds_little(tmp_path: Path) -> None:
    async def requests() -> AsyncIterator[pb.WatchRequest]:
        yield pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"\0", range_end=b"\0"))
        await asyncio.Event().wait()

    async def run() -> None:
        store = open_directory(tmp_path)
        responses = store.watch(requests())
        assert (await anext(responses)).created
        total = sent(store.node)
        await put_all(store.node)
        assert sum(total) < BACKLOG / 2
        seen: list[int] = []
        while len(seen) < PUTS:
            seen += [event.kv.mod_revision for event in (await anext(responses)).events]
        assert seen == list(range(2, PUTS + 2))
        await responses.aclose()
        await store.close()

    asyncio.run(asyncio.wait_for(run(), 120))
