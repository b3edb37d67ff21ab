"""What one peer may cost."""

from typing import NamedTuple


class Limits(NamedTuple):
    """The bounds of one connection; every buffer and every counter of the core is held to one of them."""

    message_bytes: int = 3 * 512 * 1024 + 512 * 1024
    """The largest gRPC message: etcd's 1.5 MiB of request and 512 KiB around it."""
    page_bytes: int = 4 * 1024 * 1024
    """The largest body of a request that is not gRPC: such a message in base64 and JSON."""
    header_list_bytes: int = 256 * 1024
    """The largest header list, decoded; also the largest header block as it is sent, over all its frames. Metadata of
    100 kB is in use; what is larger costs the event loop tens of milliseconds to decode."""
    streams: int = 4096
    """Requests at once, counting those that the peer has given up but whose answer is still being made."""
    window_bytes: int = 16 * 1024 * 1024
    """What the peer may send on the connection before it hears from us."""
    partial_bytes: int = 64 * 1024 * 1024
    """Bytes of requests that are not complete yet, over all streams; large header lists of open streams count too."""
    queue_bytes: int = 64 * 1024 * 1024
    """Responses that wait for the peer's flow control; beyond it new requests are turned away."""
    stream_queue_bytes: int = 512 * 1024
    """Responses of one stream that wait for flow control before the stream counts as paused."""
    clients_bytes: int = 0
    """What all connections of a server together may hold of requests and answers; 0 for half of the memory."""
    control_frames: int = 10_000
    """Frames per tick that carry no request: PING, SETTINGS, PRIORITY, empty DATA; beyond it, and two for each request
    and one for each message of a stream, the peer is cut off.
    """
    resets: int = 2_000
    """Requests per tick that the peer may take back, or get reset for breaking the rules."""
    ping_min_seconds: float = 0
    """A client that pings more often is sent away; 0 lets it. Counted in whole ticks, as the two below."""
    silence_seconds: float = 0
    """After so long without a word from the client it is sent a PING; 0 never does."""
    ping_timeout_seconds: float = 0
    """And after so long without an answer it is cut off; 0 never does, and sends no PING."""
