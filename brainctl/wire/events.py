"""List the events that a connection returns to its owner. Those of one `receive` come in the order of the bytes."""

from typing import NamedTuple

from brainctl.wire.head import Head


class Requests(NamedTuple):
    """Unary calls with equal heads, complete, in their order: answer each with `reply` or `fail`."""

    head: Head
    stream_ids: list[int]
    bodies: list[bytes]


class Opened(NamedTuple):
    """A streaming call begins; its messages follow."""

    stream_id: int
    head: Head


class Message(NamedTuple):
    """One message of a streaming call."""

    stream_id: int
    body: bytes


class HalfClosed(NamedTuple):
    """The peer will send no more messages on this streaming call."""

    stream_id: int


class Reset(NamedTuple):
    """The peer cancelled the call; what is still sent on it is dropped."""

    stream_id: int
    code: int


class Resumed(NamedTuple):
    """A stream that was paused takes messages again."""

    stream_id: int


class PlainRequest(NamedTuple):
    """A complete HTTP request that is not gRPC. Answer: `respond`, or begin_response, send_body and end_response."""

    stream_id: int
    head: Head
    body: bytes


class Ended(NamedTuple):
    """In the client role: the call has ended. `message` is the response of a call made by `request`, if any."""

    stream_id: int
    code: int
    text: str
    message: bytes | None


class GoingAway(NamedTuple):
    """The peer takes no streams above `last_stream_id`."""

    last_stream_id: int
    code: int


class Closed(NamedTuple):
    """The connection has ended: send what `take` still returns, then close. `code` is 0 when nothing was wrong."""

    code: int
    text: str


Event = Requests | Opened | Message | HalfClosed | Reset | Resumed | PlainRequest | Ended | GoingAway | Closed
