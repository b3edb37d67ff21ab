"""Hold what is open on one HTTP/2 connection: streaming calls, and answers to requests that are not gRPC."""

from collections.abc import Callable

from brainctl.errors import Code
from brainctl.server.call_stats import Method
from brainctl.server.http2.exchange import Http2Exchange
from brainctl.server.http2.stream_writer import Stream


class OpenStreams:
    """The open streams by stream id. A call for a stream that is not open does nothing."""

    def __init__(self) -> None:
        self._open: dict[int, Stream | Http2Exchange] = {}
        self._methods: dict[int, Method] = {}

    def add(self, stream_id: int, stream: Stream | Http2Exchange, method: Method | None = None) -> None:
        """Add a stream; its end is counted with `method`."""
        self._open[stream_id] = stream
        if method is not None:
            self._methods[stream_id] = method

    def call(self, stream_id: int) -> Stream | None:
        """Return the streaming call with this id, None when there is none."""
        stream = self._open.get(stream_id)
        return None if isinstance(stream, Http2Exchange) else stream

    def end(self, stream_id: int, code: Code = Code.CANCELLED) -> None:
        """Close a stream that has ended with this code."""
        method = self._methods.pop(stream_id, None)
        if method is not None:
            method.ended(code)
        stream = self._open.pop(stream_id, None)
        if stream is not None:
            stream.close()

    def end_all(self) -> None:
        """Close all streams: the client has gone away."""
        for stream_id in tuple(self._open):
            self.end(stream_id)

    def drain(self, stop: Callable[[int], None]) -> None:
        """Call `stop` for each call, and end the answers that have no end of their own."""
        for stream_id, stream in tuple(self._open.items()):
            if isinstance(stream, Http2Exchange):
                stream.drain()
            else:
                stop(stream_id)

    def half_close(self, stream_id: int) -> None:
        """Notify a stream that the client will send no more on it."""
        if stream_id in self._open:
            self._open[stream_id].half_close()

    def pause(self, stream_id: int) -> None:
        """Pause a stream that the client does not read."""
        if stream_id in self._open:
            self._open[stream_id].pause()

    def resume(self, stream_id: int) -> None:
        """Resume a stream that the client reads again."""
        if stream_id in self._open:
            self._open[stream_id].resume()

    def pause_all(self) -> None:
        """Pause all streams: the client reads nothing."""
        for stream in tuple(self._open.values()):
            stream.pause()

    def resume_all(self, is_paused: Callable[[int], bool]) -> None:
        """Resume all streams except those that `is_paused` holds back one by one."""
        for stream_id, stream in tuple(self._open.items()):
            if not is_paused(stream_id):
                stream.resume()
