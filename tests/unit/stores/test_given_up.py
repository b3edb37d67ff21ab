"""A call whose connection is closed while it waits ends with an error of ours; gRPC says that it was cancelled."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import pytest

from brainctl.errors import ConnectionFailed, UnknownOutcome
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.peers import PeerCalls
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget, Tls


class Silent(grpc.GenericRpcHandler):
    """Takes every call and answers none."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def call(_request: bytes, _context: object) -> bytes:
            self.asked.set()
            await asyncio.Event().wait()
            return b""

        del details
        return grpc.unary_unary_rpc_method_handler(call)


async def _given_up(call: Callable[[str], tuple[Awaitable[object], Callable[[], Awaitable[None]]]]) -> None:
    """Make a call, close its connection once the server has it, and raise what the caller gets."""
    server, silent = grpc.aio.server(), Silent()
    server.add_generic_rpc_handlers((silent,))
    endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    waiting, close = call(endpoint)
    caller = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait_for(silent.asked.wait(), 120)
        await close()
        await asyncio.wait_for(caller, 120)
    finally:
        await server.stop(None)


def test_a_write_is_unknown() -> None:
    def put(endpoint: str) -> tuple[Awaitable[object], Callable[[], Awaitable[None]]]:
        store = EtcdStore(EtcdTarget((endpoint,), command_timeout=None))
        return store.put(pb.PutRequest(key=b"k")), store.close

    with pytest.raises(UnknownOutcome, match="the outcome of Put is unknown"):
        asyncio.run(_given_up(put))


def test_a_read_has_failed() -> None:
    def read(endpoint: str) -> tuple[Awaitable[object], Callable[[], Awaitable[None]]]:
        store = EtcdStore(EtcdTarget((endpoint,), command_timeout=None))
        return store.range(pb.RangeRequest(key=b"k")), store.close

    with pytest.raises(ConnectionFailed, match="the connection was lost"):
        asyncio.run(_given_up(read))


def test_what_was_forwarded_is_unknown() -> None:
    def forward(endpoint: str) -> tuple[Awaitable[object], Callable[[], Awaitable[None]]]:
        peers = PeerCalls(Tls(), 1 << 20)
        return peers.call(f"http://{endpoint}", "/etcdserverpb.KV/Put", b"", "", 120), peers.close

    with pytest.raises(UnknownOutcome, match="given up"):
        asyncio.run(_given_up(forward))


def test_a_caller_that_is_cancelled_stays_so() -> None:
    async def run() -> None:
        server, silent = grpc.aio.server(), Silent()
        server.add_generic_rpc_handlers((silent,))
        store = EtcdStore(EtcdTarget((f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}",), command_timeout=None))
        await server.start()
        caller = asyncio.ensure_future(store.put(pb.PutRequest(key=b"k")))
        await asyncio.wait_for(silent.asked.wait(), 120)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await store.close()
        await server.stop(None)

    asyncio.run(run())
