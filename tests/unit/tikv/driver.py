"""A Placement Driver that knows regions and not their leaders, as the real one does for a while after a restart.

It is a proxy of gRPC before the real one: all calls are passed on as bytes, and the field with the leader of a region
can be taken away.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import grpc
import grpc.aio

from tests.peers.servers import Playground
from tests.unit.tikv.proxy import Proxy

_LEADER_OF: dict[str, tuple[int, ...]] = {
    "GetRegion": (3,),
    "GetPrevRegion": (3,),
    "GetRegionByID": (3,),
    "ScanRegions": (3,),
    "BatchScanRegions": (),
}
"""Fields of responses in pdpb with leaders, by method (kvproto proto/pdpb.proto)."""
_REGIONS_OF = {"ScanRegions": 4, "BatchScanRegions": 2}
"""Fields with messages Region, which have their leader in field 2."""


class Driver:
    """Serves a Placement Driver at another port."""

    def __init__(self, target: str) -> None:
        self.leaderless = False
        """Whether regions are given without their leaders."""
        self.asked = asyncio.Semaphore(0)
        """Released for each answer of which a leader was taken away."""
        self.replace: dict[bytes, bytes] = {}
        """Addresses to give instead of others; each has as many bytes as the other."""
        self._target = target
        self._channel = grpc.aio.insecure_channel(target)
        self._server = grpc.aio.server()

    async def start(self) -> str:
        """Serve, and return the address."""
        driver = self

        class Everything(grpc.GenericRpcHandler):
            def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
                method = details.method

                async def call(requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
                    async for response in driver._channel.stream_stream(method)(requests):
                        yield driver.changed(method.rpartition("/")[2], response)

                return grpc.stream_stream_rpc_method_handler(call)

        self._server.add_generic_rpc_handlers((Everything(),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        endpoint = f"127.0.0.1:{port}"
        self.replace[self._target.encode()] = endpoint.encode()
        assert all(len(old) == len(new) for old, new in self.replace.items()), "ports of the same length are needed"
        await self._server.start()
        return endpoint

    async def close(self) -> None:
        """Stop serving."""
        await self._server.stop(None)
        await self._channel.close()

    def changed(self, method: str, response: bytes) -> bytes:
        """Return a response with the address of this proxy, and without leaders while there are none."""
        for old, new in self.replace.items():
            response = response.replace(old, new)
        if not self.leaderless or method not in _LEADER_OF:
            return response
        self.asked.release()
        kept = b""
        for number, field, value in fields(response):
            if number == _REGIONS_OF.get(method):
                inner = b"".join(inside for index, inside, _ in fields(value) if index != 2)
                kept += varint(number << 3 | 2) + varint(len(inner)) + inner
            elif number not in _LEADER_OF[method]:
                kept += field
        return kept


def fields(message: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the fields of a marshalled message: number, all of its bytes, and the value of those with a length."""
    found = []
    at = 0
    while at < len(message):
        start = at
        tag, at = read_varint(message, at)
        value = b""
        if tag & 7 == 2:
            size, at = read_varint(message, at)
            value = message[at : at + size]
            at += size
        else:
            assert tag & 7 == 0, "no other kinds are in these messages"
            _, at = read_varint(message, at)
        found.append((tag >> 3, message[start:at], value))
    return found


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


class Driven(NamedTuple):
    """A cluster behind such a driver, and its store behind a proxy that can cut connections."""

    endpoint: str
    driver: Driver
    store: Proxy


@asynccontextmanager
async def driven(cluster: Playground) -> AsyncIterator[Driven]:
    """Put a driver before that of a cluster."""
    driver, store = Driver(cluster.endpoint), Proxy(cluster.store_port)
    await store.start()
    driver.replace[b"127.0.0.1:%d" % store.target] = b"127.0.0.1:%d" % store.port
    try:
        yield Driven(await driver.start(), driver, store)
    finally:
        await driver.close()
        await store.close()
