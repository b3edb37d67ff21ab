"""TCP proxies between the client and a TiKV cluster: one of them can go silent in the middle of what passes through."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from tests.peers.servers import Playground


class Proxy:
    """Forwards to one port of this machine, and replaces bytes by others of the same length in what comes back."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.replace: dict[bytes, bytes] = {}
        self.tripped = asyncio.Event()
        self._when: Callable[[bytes], bool] | None = None
        self._forward = True
        self._refusing = False
        self.refused = asyncio.Semaphore(0)
        """Released for every connection that is refused."""
        self._silent = False
        self._generation = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self, when: Callable[[bytes], bool], *, forward: bool) -> None:
        """Go silent, both ways, once the client sends bytes for which `when` holds; `forward` lets those through."""
        self._when, self._forward = when, forward

    def let_new_ones_through(self) -> None:
        """Forward new connections; those that are silent stay so."""
        self._generation += 1

    def cut(self) -> None:
        """Cut all connections, and refuse new ones until `release`: otherwise the client repeats its request itself."""
        self._when, self._silent, self._refusing = None, False, True
        self._cut()

    def release(self) -> None:
        """Forward whatever comes."""
        self._refusing = False

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            self.refused.release()
            return
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, to_server}
        generation = self._generation
        for source, sink, change in ((reader, to_server, self._request), (upstream, writer, self._response)):
            task = asyncio.ensure_future(_pump(source, sink, partial(change, generation)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _request(self, generation: int, data: bytes) -> bytes:
        if self._silent and generation == 0:
            return b""
        if not self._silent and self._when is not None and self._when(data):
            self._silent = True
            self.tripped.set()
            return data if self._forward else b""
        return data

    def _response(self, generation: int, data: bytes) -> bytes:
        for old, new in self.replace.items():
            data = data.replace(old, new)
        return b"" if self._silent and generation == 0 else data


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, change: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            sink.write(change(data))
            await sink.drain()
    sink.transport.abort()


class Proxied(NamedTuple):
    """A cluster behind proxies: its Placement Driver gives out the addresses of the proxies."""

    endpoint: str
    store: Proxy


@asynccontextmanager
async def proxied(cluster: Playground) -> AsyncIterator[Proxied]:
    driver, store = Proxy(cluster.port), Proxy(cluster.store_port)
    await driver.start()
    await store.start()
    for proxy in (driver, store):
        old, new = (b"127.0.0.1:%d" % port for port in (proxy.target, proxy.port))
        assert len(old) == len(new), "ports with the same number of digits are needed"
        driver.replace[old] = new
    try:
        yield Proxied(f"127.0.0.1:{driver.port}", store)
    finally:
        await store.close()
        await driver.close()
