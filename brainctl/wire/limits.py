"""Bound what one peer may cost."""

from typing import NamedTuple


class Limits(NamedTuple):
    """The bounds of one connection; every buffer and every counter of `ServerConnection` is held to one of them."""

    message_bytes: int = 3 * 512 * 1024 + 512 * 1024
    """Bytes of the largest gRPC message: etcd's 1.5 MiB of request and 512 KiB around it."""
    http_body_bytes: int = 4 * 1024 * 1024
    """Bytes of the largest body of a request that is not gRPC: such a message in base64 and JSON."""
    header_list_bytes: int = 256 * 1024
    """Bytes of the largest header list, decoded; also of the largest header block as it is sent, over all its frames.
    Metadata of 100 kB is in use; what is larger costs the event loop tens of milliseconds to decode.
    """
    streams: int = 4096
    """Requests at once, counting those that the peer has cancelled but whose answer is still being made."""
    window_bytes: int = 16 * 1024 * 1024
    """Bytes that the peer may send on the connection before we extend its window."""
    partial_bytes: int = 64 * 1024 * 1024
    """Bytes of requests that are not complete yet, over all streams; large header lists of open streams count too."""
    queue_bytes: int = 64 * 1024 * 1024
    """Bytes of responses that wait for the peer's flow control; beyond it new requests are refused."""
    stream_queue_bytes: int = 512 * 1024
    """Bytes of responses of one stream that wait for flow control before the stream counts as paused."""
    clients_bytes: int = 0
    """Bytes of requests and answers that all connections of a server together may hold; 0 for half of the memory."""
    control_frames: int = 10_000
    """Frames per tick that carry no request: PING, SETTINGS, PRIORITY, empty DATA. Beyond it, and two for each request
    and one for each message of a stream, the connection is closed.
    """
    resets: int = 2_000
    """Requests per tick that the peer may cancel, or that are reset because they break the rules."""
    ping_min_seconds: float = 0
    """Seconds that a client must leave between two PINGs, or its connection is closed; 0 for any. Counted in whole
    ticks, as the two below.
    """
    silence_seconds: float = 0
    """Seconds after which a client that sends nothing is sent a PING; 0 for never."""
    ping_timeout_seconds: float = 0
    """Seconds after that PING without an answer until the connection is closed; 0 for never, and no PING is sent."""
