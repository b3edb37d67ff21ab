"""Collect the bodies of requests that come in pieces, and make events of what they complete."""

from brainctl.errors import ApiError, Code, Status
from brainctl.wire.connection import Connection
from brainctl.wire.events import HalfClosed, Message, PlainRequest, Requests, Reset
from brainctl.wire.frames import ErrorCode, StreamFault
from brainctl.wire.head import Head
from brainctl.wire.plain_responses import PlainWriter
from brainctl.wire.responses import ResponseWriter
from brainctl.wire.stream import Stream


class RequestBodies:
    """The bodies of the requests of one connection."""

    def __init__(self, connection: Connection, responses: ResponseWriter, plain: PlainWriter) -> None:
        """Create it without any body; the writers send the responses to those that are refused."""
        self.partial = 0
        """Bytes of requests that are not complete yet."""
        self._limits = connection.limits
        self._streams = connection.streams
        self._sender = connection.sender
        self._events = connection.events
        self._responses = responses
        self._plain = plain

    def hold_head(self, stream: Stream, size: int) -> None:
        """Count the header list of a request, in bytes, as held until the request is complete."""
        self.partial += size
        stream.head_bytes = size

    def add(self, stream_id: int, stream: Stream, data: bytes, *, end: bool) -> None:
        """Add the next bytes of a request, and append the events of what they complete.

        Raises:
            StreamFault: the body is not as long as its content-length.
        """
        head = stream.head
        assert head is not None
        stream.received += len(data)
        stream.remote_open = not end
        if head.length is not None and (stream.received > head.length or (end and stream.received < head.length)):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content-length does not match the body")
        if stream.reader is None:
            self._add_plain(stream_id, stream, head, data)
            return
        held = stream.reader.held_bytes
        try:
            try:
                messages = stream.reader.feed(data)
            finally:
                self.partial += stream.reader.held_bytes - held
            if end:
                stream.reader.close()
            if head.streaming:
                self._events.extend(Message(stream_id, body) for body in messages)
                if end:
                    self._events.append(HalfClosed(stream_id))
            else:
                self._add_unary(stream_id, stream, head, messages)
        except ApiError as error:
            if head.streaming:
                self._events.append(Reset(stream_id, ErrorCode.CANCEL))
            self._responses.fail(stream_id, error.status)

    def _add_unary(self, stream_id: int, stream: Stream, head: Head, messages: list[bytes]) -> None:
        """Add messages of a unary call, and append its event when it is complete.

        Raises:
            ApiError: the call does not have exactly one message.
        """
        stream.messages += messages
        self.partial += sum(map(len, messages))
        if stream.remote_open and len(stream.messages) <= 1:
            return
        if len(stream.messages) != 1:
            text = f"grpc: a unary call has one message, this one has {len(stream.messages)}"
            raise ApiError(Status(Code.INTERNAL, text))
        body = stream.messages.pop()
        self.partial -= len(body)
        stream.requested = True
        if stream.window == self._streams.initial_window:
            self.partial -= stream.head_bytes
            self._streams.open[stream_id] = None
        self._events.append(Requests(head, [stream_id], [body]))

    def _add_plain(self, stream_id: int, stream: Stream, head: Head, data: bytes) -> None:
        """Add bytes of a request that is not gRPC, and append its event when it is complete."""
        stream.body += data
        self.partial += len(data)
        if len(stream.body) > self._limits.http_body_bytes:
            self._plain.respond(stream_id, 413, "text/plain", b"request body is too large\n")
        elif not stream.remote_open:
            body = bytes(stream.body)
            self.partial -= len(body)
            stream.body.clear()
            stream.requested = True
            self._events.append(PlainRequest(stream_id, head, body))

    def forget(self, stream_id: int) -> Stream | None:
        """Drop the state of an open stream with what has come of its request, and return it."""
        stream = self._sender.forget(stream_id)
        if stream is not None:
            if stream.reader is not None:
                self.partial -= stream.reader.held_bytes
            self.partial -= stream.head_bytes + len(stream.body) + sum(map(len, stream.messages))
        return stream
