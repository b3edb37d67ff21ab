"""Serve the streaming RPCs: turn a node's sessions and iterators into streams of a connection."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from brainctl.errors import BrainctlError
from brainctl.log import Fact
from brainctl.server import health
from brainctl.server.http2.stream_writer import QuietStream, Stream, StreamWriter
from brainctl.server.node_protocol import Node
from brainctl.server.reflection import Reflection
from brainctl.server.status import INTERNAL, status_of

_log = logging.getLogger(__name__)


class WatchStream:
    """Watch.Watch: goes on after the client's last request, until the client resets it."""

    def __init__(self, node: Node, outlet: StreamWriter, token: str | None, common_name: str | None) -> None:
        self._session = node.watch(outlet.send, token, common_name)
        self.message = self._session.receive
        self.pause = self._session.pause
        self.resume = self._session.resume
        self.close = self._session.close

    def half_close(self) -> None:
        """Do nothing: the events of the watches go on."""


class KeepAliveStream:
    """Lease.LeaseKeepAlive: one answer per message, in the order in which the node answers.

    It ends when the client has sent its last message and all are answered.
    """

    def __init__(self, node: Node, outlet: StreamWriter, token: str | None, common_name: str | None) -> None:
        self._node = node
        self._outlet = outlet
        self._who = (token, common_name)
        self._pending = 0
        self._last = False

    def message(self, body: bytes) -> None:
        """Pass a request to renew a lease to the node."""
        self._pending += 1
        self._node.keep_alive(body, self._answer, *self._who)

    def half_close(self) -> None:
        """End now, or with the last answer."""
        self._last = True
        self._end_if_done()

    def pause(self) -> None:
        """Do nothing: there is at most one answer per message, and the connection bounds the rest."""

    def resume(self) -> None:
        """Do nothing, as for `pause`."""

    def close(self) -> None:
        """Do nothing: the stream holds nothing."""

    def _answer(self, answer: bytes | BrainctlError) -> None:
        self._pending -= 1
        if isinstance(answer, BrainctlError):
            self._outlet.fail(status_of(answer))
        else:
            self._outlet.send(answer)
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._last and not self._pending:
            self._outlet.finish()


class IteratorStream:
    """An RPC that the node serves with an iterator, which is read no faster than the client reads, and closed with the
    stream.

    Some of these are unary: they wait for others, and stop waiting when their client goes away.
    """

    def __init__(
        self, method: str, node: Node, outlet: StreamWriter, token: str | None, common_name: str | None
    ) -> None:
        self._open = partial(node.stream, method, token=token, common_name=common_name)
        self._outlet = outlet
        self._task: asyncio.Task[None] | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.pause = self._flowing.clear
        self.resume = self._flowing.set

    def message(self, body: bytes) -> None:
        """Begin with the request; there is only one."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(body))

    def half_close(self) -> None:
        """Do nothing: the answer goes on."""

    def close(self) -> None:
        """Cancel the iterator."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, request: bytes) -> None:
        try:
            async for body in self._open(request):
                self._outlet.send(body)
                await self._flowing.wait()
        except BrainctlError as error:
            self._outlet.fail(status_of(error))
        except Exception:  # noqa: BLE001 - the client must receive an answer
            _log.exception(Fact("a stream failed"))
            self._outlet.fail(INTERNAL)
        else:
            self._outlet.finish()


ITERATED: Final = (
    "/etcdserverpb.KV/RangeStream",
    "/etcdserverpb.Maintenance/Snapshot",
    *(f"/v3lockpb.Lock/{name}" for name in ("Lock", "Unlock")),
    *(f"/v3electionpb.Election/{name}" for name in ("Campaign", "Proclaim", "Leader", "Observe", "Resign")),
)
"""The RPCs that a node serves with an iterator."""
STREAMS: Final[dict[str, Callable[[Node, StreamWriter, str | None, str | None], Stream]]] = {
    "/etcdserverpb.Watch/Watch": WatchStream,
    "/etcdserverpb.Lease/LeaseKeepAlive": KeepAliveStream,
    **{path: partial(IteratorStream, path) for path in ITERATED},
    "/grpc.health.v1.Health/Check": partial(QuietStream, health.check),
    "/grpc.health.v1.Health/List": partial(QuietStream, health.list_all),
    "/grpc.health.v1.Health/Watch": partial(QuietStream, health.watch),
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Reflection,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Reflection,
}
"""RPCs by path that have more than one message each way, or may take any length of time."""
