"""The server: a listening socket, its connections, and the way it stops."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from brainctl.errors import BrainctlError
from brainctl.server.connections import Connection, Connections
from brainctl.server.first_bytes import Served
from brainctl.server.gateway.access import GatewayAccess
from brainctl.server.http_handlers import HttpHandlers, Monitoring
from brainctl.server.listen import Listener
from brainctl.server.listen import listen as open_listener
from brainctl.server.node_protocol import Node
from brainctl.server.tls.context import ServerTls
from brainctl.wire.limits import Limits

GRACE_SECONDS: Final = 5.0


class Server:
    """Serves one node at one address; `start`, then `stop`."""

    def __init__(self, node: Node, limits: Limits | None = None, access: GatewayAccess | None = None) -> None:
        self.node = node
        self.limits = limits or Limits()
        self.handlers = HttpHandlers(node, access, self.limits)
        self.room = self.handlers.calls.room
        self.connections = Connections(self.room)
        self._tls: list[ServerTls] = []
        self._listeners: list[Listener] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._stopping = False

    async def start(self, listen: str, tls: ServerTls | None = None, metrics: str = "") -> str:
        """Listen at `listen`, and at `metrics` for metrics and health alone.

        Args:
            listen: "HOST:PORT", "unix://PATH" or a URL of the first, or several with commas between.
            tls: the TLS side, which http:// and unix:// URLs do without.
            metrics: more addresses, written in the same way.

        Returns:
            The addresses of `listen`, with the ports that were taken for 0.

        Raises:
            InvalidInput: An address cannot be read.
            ListenFailed: It cannot be had.
        """
        metrics_tls = tls.for_monitoring() if tls is not None and metrics else None
        self._tls = [each for each in (tls, metrics_tls) if each is not None]
        try:
            addresses = [await self._listen(part, tls, None) for part in listen.split(",")]
            for part in filter(None, metrics.split(",")):
                await self._listen(part, metrics_tls, Monitoring(self.handlers))
        except BrainctlError:
            self._close_listeners()
            raise
        self.room.measure(0)
        self._timer = asyncio.get_running_loop().call_later(1, self._tick)
        return ",".join(addresses)

    async def _listen(self, given: str, tls: ServerTls | None, monitoring: Monitoring | None) -> str:
        used = None if given.startswith(("http://", "unix://")) else tls
        served = Served(self.node, self.handlers, self.limits, self.connections, self.remove, used, monitoring)
        listener = await open_listener(given, served.accept)
        self._listeners.append(listener)
        return listener.address

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Take no more connections, end streams with "server stopped", finish the calls in progress, close.

        What is not over after `grace_seconds` is cut off.
        """
        self._stopping = True
        self._close_listeners()
        for connection in self.connections:
            connection.drain()
        self._check_empty()
        try:
            await asyncio.wait_for(self._empty.wait(), grace_seconds)
        except TimeoutError:
            for connection in self.connections:
                connection.abort()
        if self._timer is not None:
            self._timer.cancel()

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is lost."""
        self.connections.remove(connection)
        self._check_empty()

    def _check_empty(self) -> None:
        if self._stopping and not self.connections:
            self._empty.set()

    def _tick(self) -> None:
        for connection in self.connections:
            connection.tick()
        self.room.tick(len(self.connections))
        self.handlers.calls.buffers.tick()
        for tls in self._tls:
            tls.refresh()
        self._timer = asyncio.get_running_loop().call_later(1, self._tick)


async def serve(
    node: Node,
    listen: str,
    *,
    metrics: str = "",
    tls: ServerTls | None = None,
    limits: Limits | None = None,
    access: GatewayAccess | None = None,
    grace_seconds: float = GRACE_SECONDS,
    on_ready: Callable[[str], None] | None = None,
    on_stopping: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve `node` until SIGTERM, SIGINT or `stop`, then drain; a second signal cuts the draining short.

    The node is the caller's to close afterwards: nothing uses it any more when this returns.

    Args:
        node: the node.
        listen: the addresses, as in `Server.start`.
        metrics: addresses for metrics and health alone.
        tls: the TLS side, None for plain text.
        limits: the bounds of a connection.
        access: who may use the JSON gateway.
        grace_seconds: how long draining may take before connections are cut off.
        on_ready: called with the addresses once connections are accepted.
        on_stopping: called when draining begins.
        stop: an event that ends the server as a signal does.

    Raises:
        InvalidInput: An address cannot be read; before `on_ready`.
        ListenFailed: An address cannot be had; before `on_ready`.
    """
    server = Server(node, limits, access)
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    address = await server.start(listen, tls, metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, None)
    try:
        if on_ready is not None:
            on_ready(address)
        await _first(signals.get(), (stop or asyncio.Event()).wait())
        if on_stopping is not None:
            on_stopping()
        stopping = asyncio.ensure_future(server.stop(grace_seconds))
        again = asyncio.ensure_future(signals.get())
        await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not stopping.done():
            stopping.cancel()
            await server.stop(0)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of several things has happened."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
