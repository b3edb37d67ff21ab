"""The streaming RPCs: what a node's sessions and iterators look like as streams of a connection."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from brainctl.errors import BrainctlError, Status
from brainctl.server.node import Node
from brainctl.server.status import INTERNAL, status_of

_log = logging.getLogger(__name__)


class Outlet(Protocol):
    """The answering side of one stream. Everything is dropped once the stream is over."""

    def send(self, body: bytes) -> None:
        """Send a message. When the client reads too slowly, the stream's `pause` is called, possibly from in here."""

    def finish(self) -> None:
        """End with OK."""

    def fail(self, status: Status) -> None:
        """End with a status."""


class Stream(Protocol):
    """One streaming RPC in progress."""

    def message(self, body: bytes) -> None:
        """The client sent a message; BrainctlError ends the stream."""

    def half_close(self) -> None:
        """The client will send no more."""

    def pause(self) -> None:
        """The client does not read."""

    def resume(self) -> None:
        """The client reads again."""

    def close(self) -> None:
        """The stream is over; called once, however it ended."""


class WatchStream:
    """Watch.Watch: goes on after the client's last request, until the client resets it."""

    def __init__(self, node: Node, outlet: Outlet) -> None:
        self._session = node.watch(outlet.send)
        self.message = self._session.receive
        self.pause = self._session.pause
        self.resume = self._session.resume
        self.close = self._session.close

    def half_close(self) -> None:
        """Nothing: the events of the watches go on."""


class KeepAliveStream:
    """Lease.LeaseKeepAlive: an answer per message, in their order as the node gives it; ends after the last of both."""

    def __init__(self, node: Node, outlet: Outlet) -> None:
        self._node = node
        self._outlet = outlet
        self._pending = 0
        self._last = False

    def message(self, body: bytes) -> None:
        """Have the node renew a lease."""
        self._pending += 1
        self._node.keep_alive(body, self._answer)

    def half_close(self) -> None:
        """End, now or with the last answer."""
        self._last = True
        self._end_if_done()

    def pause(self) -> None:
        """Nothing: there is at most one answer per message, and the connection bounds the rest."""

    def resume(self) -> None:
        """Nothing, as for `pause`."""

    def close(self) -> None:
        """Nothing to let go of."""

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


class SnapshotStream:
    """Maintenance.Snapshot: the node's iterator, no faster than the client reads."""

    def __init__(self, node: Node, outlet: Outlet) -> None:
        self._node = node
        self._outlet = outlet
        self._task: asyncio.Task[None] | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.pause = self._flowing.clear
        self.resume = self._flowing.set

    def message(self, _body: bytes) -> None:
        """Begin; the request has no fields."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def half_close(self) -> None:
        """Nothing: the answer goes on."""

    def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            async for body in self._node.snapshot():
                self._outlet.send(body)
                await self._flowing.wait()
        except BrainctlError as error:
            self._outlet.fail(status_of(error))
        except Exception:  # noqa: BLE001 - the client must hear of it
            _log.exception("a snapshot failed")
            self._outlet.fail(INTERNAL)
        else:
            self._outlet.finish()


STREAMS: Final[dict[str, Callable[[Node, Outlet], Stream]]] = {
    "/etcdserverpb.Watch/Watch": WatchStream,
    "/etcdserverpb.Lease/LeaseKeepAlive": KeepAliveStream,
    "/etcdserverpb.Maintenance/Snapshot": SnapshotStream,
}
"""The streaming RPCs by path."""
