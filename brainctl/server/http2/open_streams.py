"""What is open on one connection of HTTP/2: streaming calls, and answers to requests that are not gRPC."""

from collections.abc import Callable

from brainctl.errors import Code
from brainctl.server.call_stats import Method
from brainctl.server.http2.exchange import Http2Exchange
from brainctl.server.http2.stream_writer import Stream


class OpenStreams:
    """By stream id. What is said to a stream that is not open is dropped."""

    def __init__(self) -> None:
        self._open: dict[int, Stream | Http2Exchange] = {}
        self._methods: dict[int, Method] = {}

    def add(self, stream_id: int, stream: Stream | Http2Exchange, method: Method | None = None) -> None:
        """One more; its end is counted with `method`."""
        self._open[stream_id] = stream
        if method is not None:
            self._methods[stream_id] = method

    def call(self, stream_id: int) -> Stream | None:
        """The streaming call, when it is one."""
        stream = self._open.get(stream_id)
        return None if isinstance(stream, Http2Exchange) else stream

    def end(self, stream_id: int, code: Code = Code.CANCELLED) -> None:
        """Close one, which has come to this end."""
        method = self._methods.pop(stream_id, None)
        if method is not None:
            method.ended(code)
        stream = self._open.pop(stream_id, None)
        if stream is not None:
            stream.close()

    def end_all(self) -> None:
        """Close all of them: the client has gone away."""
        for stream_id in tuple(self._open):
            self.end(stream_id)

    def drain(self, stop: Callable[[int], None]) -> None:
        """Have `stop` called for the calls, and the answers that have no end of their own ended."""
        for stream_id, stream in tuple(self._open.items()):
            if isinstance(stream, Http2Exchange):
                stream.drain()
            else:
                stop(stream_id)

    def half_close(self, stream_id: int) -> None:
        """The client will send no more on it."""
        if stream_id in self._open:
            self._open[stream_id].half_close()

    def pause(self, stream_id: int) -> None:
        """The client does not read it."""
        if stream_id in self._open:
            self._open[stream_id].pause()

    def resume(self, stream_id: int) -> None:
        """The client reads it again."""
        if stream_id in self._open:
            self._open[stream_id].resume()

    def pause_all(self) -> None:
        """The client reads nothing."""
        for stream in tuple(self._open.values()):
            stream.pause()

    def resume_all(self, is_paused: Callable[[int], bool]) -> None:
        """The client reads again; streams that are paused by themselves stay so."""
        for stream_id, stream in tuple(self._open.items()):
            if not is_paused(stream_id):
                stream.resume()
