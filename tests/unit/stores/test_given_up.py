"""A call whose connection is closed while it waits ends with an error of ours; gRPC says that it was cancelled."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import pytest

from brainctl.errors import ConnectionFailed, DialTimedOut, UnknownOutcome
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
    try:
        caller, close = await _once_asked(silent, lambda: call(endpoint))
        await close()
        await asyncio.wait_for(caller, 120)
    finally:
        await server.stop(None)


async def _once_asked(
    silent: Silent, call: Callable[[], tuple[Awaitable[object], Callable[[], Awaitable[None]]]]
) -> tuple[asyncio.Future[object], Callable[[], Awaitable[None]]]:
    """Make a call until the server has it: on a loaded machine the time for dialing may run out first."""
    asked = asyncio.ensure_future(silent.asked.wait())
    async with asyncio.timeout(120):
        while True:
            waiting, close = call()
            caller = asyncio.ensure_future(waiting)
            await asyncio.wait({asked, caller}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return caller, close
            with pytest.raises(DialTimedOut):
                await caller
            await close()


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


def test_what_waits_for_a_connection_was_not_sent() -> None:
    async def run(port: int) -> None:
        peers = PeerCalls(Tls(), 1 << 20)
        call = peers.call(f"http://127.0.0.1:{port}", "/etcdserverpb.KV/Put", b"", "", 120)
        caller = asyncio.ensure_future(call)
        # After two turns the caller waits for the dial that it has begun.
        for _ in range(2):
            await asyncio.sleep(0)
        await peers.close()
        with pytest.raises(ConnectionFailed, match="the connection was given up"):
            await asyncio.wait_for(caller, 120)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(run(silent.getsockname()[1]))


def test_a_caller_that_is_cancelled_stays_so() -> None:
    async def run() -> None:
        server, silent = grpc.aio.server(), Silent()
        server.add_generic_rpc_handlers((silent,))
        store = EtcdStore(EtcdTarget((f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}",), command_timeout=None))
        await server.start()
        caller, _ = await _once_asked(silent, lambda: (store.put(pb.PutRequest(key=b"k")), store.close))
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await store.close()
        await server.stop(None)

    asyncio.run(run())
