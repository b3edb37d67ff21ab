"""TLS without verification: gRPC for Python always verifies, so its bytes go through a local socket.

The socket is in a directory that only this user may enter. Plain text that arrives there is sent to the server in TLS.
"""

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult

from brainctl.stores.contexts import unverified
from brainctl.stores.etcd.proxy import authority, credentials
from brainctl.stores.etcd.target import Tls

_PIECE_BYTES: Final = 1 << 16
"""Bytes that are read at a time."""


class Tunnel:
    """The tunnel to one address."""

    def __init__(self, address: str, tls: Tls, proxy: SplitResult | None = None) -> None:
        self._address = address
        self._proxy = proxy
        self._tls = unverified(tls)
        self._directory = tempfile.TemporaryDirectory(prefix="brainctl-")
        self._path = str(Path(self._directory.name) / "tunnel")
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Listen, and return the address for gRPC."""
        self._server = await asyncio.start_unix_server(self._accept, self._path)
        return f"unix:{self._path}"

    async def close(self) -> None:
        """End all connections, and remove the socket."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._directory.cleanup()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect to the server for one connection of gRPC, and forward in both directions."""
        try:
            there = await self._connect()
        except BaseException as error:
            writer.close()
            if isinstance(error, OSError | ValueError):  # gRPC sees it closed; `diagnose` then finds the reason
                return
            raise
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, there[1]))
            both.create_task(_pump(there[0], writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server in TLS, through the proxy if there is one.

        Raises:
            OSError: The server or the proxy cannot be reached, or refuses.
        """
        if self._address.startswith("unix:"):
            path = self._address.removeprefix("unix:")
            return await asyncio.open_unix_connection(path, ssl=self._tls, server_hostname="localhost")
        host, _, port = self._address.rpartition(":")
        if self._proxy is None:
            return await asyncio.open_connection(host.strip("[]"), int(port), ssl=self._tls)
        reader, writer = await asyncio.open_connection(*authority(self._proxy))
        writer.write(
            f"CONNECT {self._address} HTTP/1.1\r\nHost: {self._address}\r\n{credentials(self._proxy)}\r\n".encode()
        )
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (EOFError, asyncio.LimitOverrunError):
            head = b""
        if not re.match(rb"HTTP/1\.\d 200\b", head):
            writer.close()
            said = head.partition(b"\r\n")[0].decode(errors="replace") or "nothing"
            raise ConnectionError(f"the proxy {self._proxy.hostname} answers {said}")
        await writer.start_tls(self._tls, server_hostname=host.strip("[]"))
        return reader, writer


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward bytes until either side ends."""
    try:
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
