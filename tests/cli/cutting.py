"""A TCP proxy that can lose answers."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Self


class Cutting:
    """Passes bytes on to a server. Once a request with `marker` in it has passed, it swallows what the server answers
    and closes the connection: the request is carried out, and its client cannot know.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._opening: list[asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = []
        """Connections to the server, which are closed even if whoever waited for one was cancelled."""
        self.marker: bytes | None = None
        self._cut = False

    @property
    def endpoint(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        while self._tasks:  # a connection that was just made begins others
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for opened in await asyncio.gather(*self._opening, return_exceptions=True):
            if not isinstance(opened, BaseException):
                self._writers.append(opened[1])
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._run(self._connect(reader, writer))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", self._upstream))
        self._opening.append(opening)
        up_reader, up_writer = await asyncio.shield(opening)
        for work in (self._requests(reader, up_writer), self._answers(up_reader, writer)):
            self._run(work)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                self._cut = self._cut or (self.marker is not None and self.marker in data)
                writer.write(data)
        if not self._cut:  # the server is to carry out what it has
            writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while (data := await reader.read(65536)) and not self._cut:
                writer.write(data)
        writer.close()
