"""Read the header fields of a response, and its trailers."""

from brainctl.wire.frames import StreamFault
from brainctl.wire.grpc import decode_message_text
from brainctl.wire.head import split_fields
from brainctl.wire.headers import Field


class ResponseHead:
    """The header fields of a response, or its trailers."""

    __slots__ = ("code", "encoding", "fault", "http_status", "text")

    def __init__(self) -> None:
        self.http_status: int | None = None
        """None in trailers."""
        self.code: int | None = None
        """grpc-status, None without one."""
        self.text = ""
        """grpc-message, decoded."""
        self.encoding = b""
        self.fault: str | None = None
        """Description of what is malformed; None for a well-formed head."""


def read_response_head(fields: list[Field]) -> ResponseHead:
    """Return the head that `fields` make; a malformed one has `fault` set."""
    head = ResponseHead()
    try:
        pseudo, regular = split_fields(fields, {b":status"})
    except StreamFault as fault:
        head.fault = str(fault)
        return head
    values = dict(regular)
    status, code = pseudo.get(b":status"), values.get(b"grpc-status")
    if (status is not None and not status.isdigit()) or (code is not None and not code.isdigit()):
        head.fault = "a status is not a number"
        return head
    head.http_status = int(status) if status is not None else None
    head.code = int(code) if code is not None else None
    head.text = decode_message_text(values.get(b"grpc-message", b""))
    head.encoding = values.get(b"grpc-encoding", b"")
    return head
