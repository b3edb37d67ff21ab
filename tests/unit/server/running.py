"""A server with an echo node in the test's own event loop, and a real gRPC client to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import grpc
import grpc.aio

from brainctl.server.app import Server
from brainctl.wire.limits import Limits
from tests.unit.server.echo import EchoNode

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Running(NamedTuple):
    """A started server."""

    server: Server
    node: EchoNode
    address: str
    channel: grpc.aio.Channel

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    async def unary(self, path: str, body: bytes, **options: object) -> bytes:
        reply: bytes = await self.channel.unary_unary(path)(body, **options)
        return reply


@asynccontextmanager
async def running(limits: Limits | None = None) -> AsyncIterator[Running]:
    node = EchoNode()
    server = Server(node, limits)
    address = await server.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(address, options=UNLIMITED) as channel:
            yield Running(server, node, address, channel)
    finally:
        await server.stop(grace_seconds=1)
