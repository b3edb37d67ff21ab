"""Serve gRPC over one HTTP/2 connection: requests out of bytes, bytes out of responses."""

from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.events import Closed, Event
from brainctl.wire.frames import ErrorCode
from brainctl.wire.limits import Limits
from brainctl.wire.plain_responses import PlainWriter
from brainctl.wire.requests import RequestReader
from brainctl.wire.responses import ResponseWriter
from brainctl.wire.stream import answering


class ServerConnection:
    """The connection of one client.

    Feed `receive`, act on its events, answer with `reply` and the other methods of the writers, and send what `take`
    returns. Answers on a stream that has ended (the client reset it) are dropped, so that owners need not check first.

    Methods of the parts are attributes here: a method that calls them would cost each answer a call more.
    """

    def __init__(self, streaming: frozenset[str] = frozenset(), limits: Limits | None = None) -> None:
        """Create a connection, which has its SETTINGS to send.

        Args:
            streaming: the paths of the methods whose messages are passed on one by one.
            limits: bounds for the client; the defaults of Limits when None.
        """
        self.core = Connection(limits or Limits(), answering)
        """The part that both roles have."""
        responses = ResponseWriter(self.core)
        plain = PlainWriter(self.core, responses)
        requests = RequestReader(self.core, streaming, responses, plain)
        self._upkeep = upkeep = requests.upkeep
        self._preface = frames.PREFACE
        """First bytes of a client; empty once they have come."""
        self._begun = b""
        """The bytes that came while the preface is not complete."""
        self.sender = self.core.sender
        self.held_bytes = requests.held_bytes
        self.take = self.sender.take
        self.is_open, self.paused = self.core.is_open, self.core.paused
        self.reset, self.close = self.core.reset, self.core.close
        self.reply, self.reply_all = responses.reply, responses.reply_all
        self.send, self.finish = responses.send, responses.finish
        self.fail, self.expire = responses.fail, responses.expire
        self.respond, self.begin_response = plain.respond, plain.begin_response
        self.send_body, self.end_response = plain.send_body, plain.end_response
        self.tick, self.shutdown = upkeep.tick, upkeep.shutdown
        self.core.begin(
            requests,
            {
                frames.MAX_CONCURRENT_STREAMS: self.core.limits.streams,
                frames.INITIAL_WINDOW_SIZE: self.core.receive_window,
                frames.MAX_HEADER_LIST_SIZE: self.core.limits.header_list_bytes,
            },
        )

    @property
    def closed(self) -> bool:
        """Return whether the connection has ended, so that input is ignored."""
        return self.core.closed

    @property
    def drained(self) -> bool:
        """See `Upkeep.drained`."""
        return self._upkeep.drained

    @property
    def open_streams(self) -> int:
        """Return the number of streams that have not ended."""
        return len(self.core.streams.open)

    @property
    def queued_bytes(self) -> int:
        """Return the bytes that wait for the client's flow control, over all streams."""
        return self.sender.queued_bytes

    def receive(self, data: bytes) -> list[Event]:
        """Return the events that `data`, the next bytes from the client, completes; Closed is always the last."""
        self._upkeep.heard()
        if self._preface and not self.core.closed:
            data = self._begun + data
            self._begun = b""
            size = len(self._preface)
            if data[:size] != self._preface[: len(data)]:
                text = "the connection does not begin with the preface of HTTP/2"
                self.core.close(ErrorCode.PROTOCOL_ERROR, text)
                return [Closed(ErrorCode.PROTOCOL_ERROR, text)]
            if len(data) < size:
                self._begun = data
                return []
            self._preface = b""
            data = data[size:]
        return self.core.receive(data)
