"""Connections of the instances that can be cut, or be silent for a while and then deliver what was on its way."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from enum import Enum
from typing import Any, Self


class State(Enum):
    """What becomes of a connection."""

    OPEN = "forwards"
    CUT = "is closed, and a new one is refused"
    FROZEN = "stays, and what is sent waits in it"


class Link:
    """A TCP proxy before one port of this machine. Its methods but `set` run in its event loop."""

    def __init__(self, target: int, loop: asyncio.AbstractEventLoop) -> None:
        self.replace: dict[bytes, bytes] = {}
        """Bytes to replace in what comes back; each by as many."""
        self.port = 0
        self._target = target
        self._loop = loop
        self._state = State.OPEN
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen at `port`."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._open.set()

    async def close(self) -> None:
        """Refuse and cut whatever there is."""
        assert self._server is not None
        self._server.close()
        self._set(State.CUT)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set(self, state: State) -> None:
        """Change what becomes of connections; from any thread."""
        self._loop.call_soon_threadsafe(self._set, state)

    def _set(self, state: State) -> None:
        self._state = state
        if state is State.FROZEN:
            self._open.clear()
            return
        if state is State.CUT:
            for writer in self._writers:
                writer.transport.abort()
            self._writers.clear()
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._open.wait()
            if self._state is State.CUT:
                raise ConnectionRefusedError
            upstream, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, to_server}
        for source, sink, replace in ((reader, to_server, {}), (upstream, writer, self.replace)):
            task = asyncio.ensure_future(self._pump(source, sink, replace))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, replace: dict[bytes, bytes]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                await self._open.wait()
                for old, new in replace.items():
                    data = data.replace(old, new)
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.transport.abort()


class Loop:
    """An event loop in a thread of its own, for links."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._links: list[Link] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links:
            self.run(link.close())
        for _ in range(3):
            # What was closed ends in later turns of the loop.
            self.run(asyncio.sleep(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a coroutine, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def link(self, target: int) -> Link:
        """Return a new link to a port, which listens."""
        link = Link(target, self.loop)
        self.run(link.start())
        self._links.append(link)
        return link
