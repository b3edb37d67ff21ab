"""An HTTP proxy that tunnels what CONNECT asks for to one port of this machine, whatever host is named."""

import asyncio
from typing import Self

from tests.cli.cutting import Cutting


class Proxy(Cutting):
    """Passes tunnels on to `port`, and notes which addresses it was asked for."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.asked: list[str] = []
        self.shown: list[str] = []
        """The credentials that came with each."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, address, _ = head[0].split(" ")
        assert method == "CONNECT"
        self.asked.append(address)
        self.shown += [line.partition(": ")[2] for line in head if line.lower().startswith("proxy-authorization")]
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await super()._connect(reader, writer)
