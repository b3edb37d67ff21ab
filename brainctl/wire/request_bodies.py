"""Collect the bodies of requests as they come in: messages of calls, and bodies of requests that are not gRPC."""

from brainctl.errors import ApiError, Code, Status
from brainctl.wire.events import HalfClosed, Message, PageRequest, Requests, Reset
from brainctl.wire.frames import ErrorCode, StreamFault
from brainctl.wire.head import Head
from brainctl.wire.limits import Limits
from brainctl.wire.responder import Responder
from brainctl.wire.stream import Stream


class RequestBodies(Responder):
    """The layer of ServerConnection for the bodies of requests."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._partial = 0
        """Bytes of requests that are not complete yet."""

    def _on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        """Take in the next bytes of a request, and append the events of what they complete.

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
            self._on_page_body(stream_id, stream, head, data)
            return
        held = stream.reader.held_bytes
        try:
            try:
                messages = stream.reader.feed(data)
            finally:
                self._partial += stream.reader.held_bytes - held
            if end:
                stream.reader.close()
            if head.streaming:
                self._events.extend(Message(stream_id, body) for body in messages)
                if end:
                    self._events.append(HalfClosed(stream_id))
            else:
                self._on_unary_body(stream_id, stream, head, messages)
        except ApiError as error:
            if head.streaming:
                self._events.append(Reset(stream_id, ErrorCode.CANCEL))
            self.fail(stream_id, error.status)

    def _on_unary_body(self, stream_id: int, stream: Stream, head: Head, messages: list[bytes]) -> None:
        """Take in messages of a unary call, and append its event when it is complete.

        Raises:
            ApiError: the call does not have exactly one message.
        """
        stream.messages += messages
        self._partial += sum(map(len, messages))
        if stream.remote_open and len(stream.messages) <= 1:
            return
        if len(stream.messages) != 1:
            text = f"grpc: a unary call has one message, this one has {len(stream.messages)}"
            raise ApiError(Status(Code.INTERNAL, text))
        body = stream.messages.pop()
        self._partial -= len(body)
        stream.requested = True
        if stream.window == self._stream_window:
            self._partial -= stream.head_bytes
            self._streams[stream_id] = None
        self._events.append(Requests(head, [stream_id], [body]))

    def _on_page_body(self, stream_id: int, stream: Stream, head: Head, data: bytes) -> None:
        """Take in bytes of a request that is not gRPC, and append its event when it is complete."""
        stream.body += data
        self._partial += len(data)
        if len(stream.body) > self.limits.page_bytes:
            self.respond(stream_id, 413, "text/plain", b"request body is too large\n")
        elif not stream.remote_open:
            body = bytes(stream.body)
            self._partial -= len(body)
            stream.body.clear()
            stream.requested = True
            self._events.append(PageRequest(stream_id, head, body))

    def _forget(self, stream_id: int) -> Stream | None:
        stream = super()._forget(stream_id)
        if stream is not None:
            if stream.reader is not None:
                self._partial -= stream.reader.held_bytes
            self._partial -= stream.head_bytes + len(stream.body) + sum(map(len, stream.messages))
        return stream
