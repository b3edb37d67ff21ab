"""A client that opens a watch and then does not read, until it is told to."""

import socket
from collections.abc import Iterator
from typing import Self

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.wire.client import LIMITS, ClientConnection
from brainctl.wire.events import Message

WATCH = "/etcdserverpb.Watch/Watch"
SECONDS = 60.0
SMALL_BYTES = 64 << 10
"""Of the socket's own buffer, so that the kernel does not read in the client's stead."""


class StalledWatcher:
    """One connection with one watcher of a prefix."""

    def __init__(self, port: int, key: bytes, end: bytes) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        self._socket.settimeout(SECONDS)
        self._socket.connect(("127.0.0.1", port))
        self._client = ClientConnection("test", limits=LIMITS._replace(window_bytes=SMALL_BYTES))
        create = pb.WatchCreateRequest(key=key, range_end=end)
        self._client.send(self._client.open(WATCH), pb.WatchRequest(create_request=create).SerializeToString())
        self._socket.sendall(self._client.take())
        self._responses = self._read()
        assert next(self._responses).created

    def _read(self) -> Iterator[pb.WatchResponse]:
        while data := self._socket.recv(1 << 16):
            events = self._client.receive(data)
            self._socket.sendall(self._client.take())
            for event in events:
                assert isinstance(event, Message), event
                yield pb.WatchResponse.FromString(event.body)

    def revisions(self, last: int) -> tuple[list[int], int]:
        """Read on: the revisions of the events up to `last`, or up to where the watcher was cancelled, and then the
        compacted revision, otherwise 0.
        """
        seen: list[int] = []
        while not seen or seen[-1] < last:
            response = next(self._responses)
            if response.canceled:
                return seen, response.compact_revision
            seen += [event.kv.mod_revision for event in response.events]
        return seen, 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
