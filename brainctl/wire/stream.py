"""Hold the state of one stream that is more than a unary call in one piece."""

from collections import deque

from brainctl.wire.grpc import MessageReader
from brainctl.wire.head import Head


class Stream:
    """State of a stream; only its connection changes it."""

    __slots__ = (
        "body",
        "closing",
        "head",
        "head_bytes",
        "messages",
        "paused",
        "queue",
        "queued",
        "reader",
        "received",
        "remote_open",
        "requested",
        "started",
        "unacked",
        "window",
    )

    def __init__(self, window: int, head: Head | None = None, reader: MessageReader | None = None) -> None:
        self.head = head
        self.reader = reader
        """Cuts what is received into gRPC messages; None when the body is not gRPC."""
        self.messages: list[bytes] = []
        """Messages of a unary call that is not complete."""
        self.head_bytes = 0
        """Bytes of the header list that count among those of requests that are not complete; 0 when it is small."""
        self.body = bytearray()
        """The body so far of a request that is not gRPC."""
        self.received = 0
        """Bytes of DATA received, to be compared with content-length."""
        self.unacked = 0
        """Bytes received that no WINDOW_UPDATE has given back."""
        self.remote_open = True
        """Whether the peer may send more on the stream."""
        self.requested = False
        """In the server role: whether a complete request was passed on and is not answered yet. In the client role:
        whether the call is unary.
        """
        self.window = window
        """Bytes that the peer's flow control lets us send; negative after a change of settings."""
        self.started = False
        """Whether our header block is sent."""
        self.queue: deque[memoryview] = deque()
        """Parts of the body that wait for flow control."""
        self.queued = 0
        """Bytes in `queue`."""
        self.closing: bytes | None = None
        """The block of the trailers that end our side once the queue is empty; b"" for an end without trailers, None
        while the end is not decided.
        """
        self.paused = False
        """Whether a producer should stop sending, because the peer reads slowly."""


def answering(window: int) -> Stream:
    """Return the state of a unary call that a server answers: the request has come."""
    stream = Stream(window)
    stream.remote_open = False
    stream.requested = True
    return stream


def calling(window: int) -> Stream:
    """Return the state of a unary call of a client: the request is sent, and the response has not begun."""
    stream = Stream(window)
    stream.requested = True
    stream.closing = b""
    return stream
