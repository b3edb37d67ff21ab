"""Write the responses of a server to requests that are not gRPC."""

from collections.abc import Iterable

from brainctl.wire.connection import Connection
from brainctl.wire.headers import literal_block
from brainctl.wire.responses import ResponseWriter


class PlainWriter:
    """The responses of one connection that are not gRPC. Those on a stream that has ended are dropped."""

    def __init__(self, connection: Connection, responses: ResponseWriter) -> None:
        """Create the writer of a connection, with that of its other responses."""
        self._streams = connection.streams
        self._sender = connection.sender
        self._responses = responses

    def respond(
        self,
        stream_id: int,
        http_status: int,
        content_type: str,
        body: bytes,
        fields: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Send the response to a request that is not gRPC."""
        self.begin_response(stream_id, http_status, content_type, [*fields, ("content-length", str(len(body)))])
        stream = self._streams.open.get(stream_id)
        if stream is not None and (stream.head is None or stream.head.method != "HEAD"):
            self.send_body(stream_id, body)
        self.end_response(stream_id)

    def begin_response(
        self, stream_id: int, http_status: int, content_type: str, fields: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Send the head of a response to a request that is not gRPC; `send_body` and `end_response` follow."""
        if stream_id in self._streams.open:
            stream = self._streams.stateful(stream_id)
            head = [(b":status", str(http_status).encode()), (b"content-type", content_type.encode())]
            head += [(name.lower().encode(), value.encode()) for name, value in fields]
            stream.started = True
            self._sender.block(stream_id, literal_block(head), end_stream=False)

    def send_body(self, stream_id: int, data: bytes) -> None:
        """Send a part of a response that was begun; see `Connection.paused`."""
        if stream_id in self._streams.open:
            self._sender.data(stream_id, self._streams.stateful(stream_id), data)

    def end_response(self, stream_id: int) -> None:
        """End a response that was begun, or count as made an answer that nobody waits for any more."""
        if stream_id in self._streams.open:
            self._responses.end(stream_id, self._streams.stateful(stream_id), b"")
        else:
            self._responses.orphans.discard(stream_id)
