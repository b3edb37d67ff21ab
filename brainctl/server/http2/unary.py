"""Serve the unary calls of one HTTP/2 connection.

What a call costs here is paid for every get and every put, so calls that came together stay together: they are counted
once, and puts go to the node as one burst, whose answers come back at once. Ten gets that are one event take 1.3 us
each here and in the protocol core, one by one 2.6; ten puts as a burst 1.1, and 1.8 less again where they are evaluated
(docs/internals/write-path.md).
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from brainctl.errors import NO_LEADER, BrainctlError, Status
from brainctl.log import Fact
from brainctl.server.call_stats import Calls, Method
from brainctl.server.http2.write_buffer import WriteBuffer
from brainctl.server.in_flight import InFlight
from brainctl.server.node_protocol import PUT, Node
from brainctl.server.status import DEADLINE_EXCEEDED, INTERNAL, SOONEST_SECONDS, status_of, unknown_path
from brainctl.wire.events import Requests
from brainctl.wire.head import Head
from brainctl.wire.server import ServerConnection

_log = logging.getLogger(__name__)

_LARGE_BYTES: Final = 16 << 10
"""Bytes of a call's request above which it counts as in flight; puts always count."""
_KNOWN_PATHS: Final = 1024
"""Methods whose counters are remembered by path, so that a client cannot fill the memory with paths."""


class UnaryCalls:
    """Passes calls to the node, and its answers to the protocol core."""

    def __init__(
        self,
        node: Node,
        connection: ServerConnection,
        outgoing: WriteBuffer,
        calls: Calls,
        deadlines: dict[int, float],
        common_name: str | None,
        wake: Callable[[], object],
    ) -> None:
        """Create the unary calls of a connection.

        Args:
            node: serves the calls.
            connection: the protocol core, which gets the answers.
            outgoing: what is to be sent.
            calls: the counters of the server, and what is in flight on all its connections.
            deadlines: the deadlines of open calls by stream id, shared with the streaming calls.
            common_name: that of the client's verified certificate, None without one.
            wake: called when requests that had to wait may try again.
        """
        self._wake = wake
        self._node = node
        self._connection = connection
        self._outgoing = outgoing
        self._calls = calls
        self._deadlines = deadlines
        self._common_name = common_name
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, Method] = {}

    def serve(self, requests: Requests) -> Requests | None:
        """Serve calls, and return those that have to wait because too much is to be sent or in flight.

        None when all were served or refused.
        """
        head, stream_ids, bodies = requests
        # Looked up here a path takes 0.07 us, checked and looked up by `_check_path` 1.4 for each event.
        method = self._known.get(head.path) or self._check_path(head.path)
        if isinstance(method, Status):
            for stream_id in stream_ids:
                self._connection.fail(stream_id, method)
            return None
        if head.timeout is not None and head.timeout < SOONEST_SECONDS:
            self._refuse(stream_ids, method, DEADLINE_EXCEEDED)
            return None
        if head.needs_leader and not self._node.has_leader:
            self._refuse(stream_ids, method, NO_LEADER)
            return None
        if head.path == PUT:
            served = self._serve_puts(head, stream_ids, bodies, method)
        else:
            served = self._serve_each(head, stream_ids, bodies, method)
        method.started += served
        if head.timeout is not None:
            ends = self._loop.time() + head.timeout
            for stream_id in filter(self._connection.is_open, stream_ids[:served]):
                self._deadlines[stream_id] = ends
        return None if served == len(bodies) else Requests(head, stream_ids[served:], bodies[served:])

    def _refuse(self, stream_ids: list[int], method: Method, status: Status) -> None:
        """Fail calls before they are begun."""
        method.started += len(stream_ids)
        for stream_id in stream_ids:
            method.ended(status.code)
            self._connection.fail(stream_id, status)

    def _check_path(self, path: str) -> Method | Status:
        """Return the counters of a method, or the status of a call to a path that is not one."""
        status = unknown_path(path)
        if status is not None:
            return status
        method = self._calls.of(path)
        if len(self._known) < _KNOWN_PATHS:
            self._known[path] = method
        return method

    def _serve_each(self, head: Head, stream_ids: list[int], bodies: list[bytes], method: Method) -> int:
        """Serve calls one by one until too much is to be sent or in flight, and return how many were served."""
        path, token, common_name = head.path, head.token, self._common_name
        call, outgoing = self._node.call, self._outgoing
        served = 0
        for stream_id, body in zip(stream_ids, bodies, strict=True):
            reply: Callable[[bytes | BrainctlError], None] = partial(self.reply, stream_id, method)
            size = len(body)
            if size > _LARGE_BYTES:
                if not self._admit(size):
                    break
                reply = _LargeReply(reply, self._calls.in_flight, size)
            served += 1
            try:
                call(path, body, reply, token, common_name)
            except Exception:  # noqa: BLE001 - a bug in one call must not end the others
                if isinstance(reply, _LargeReply):
                    reply.release()
                self._break([stream_id], method)
            if outgoing.full:
                break
        return served

    def _serve_puts(self, head: Head, stream_ids: list[int], bodies: list[bytes], method: Method) -> int:
        """Give all puts to the node as one burst, and return how many they are; 0 when too much is in flight."""
        size = sum(map(len, bodies))
        if not self._admit(size):
            return 0
        replies = _Replies(self, stream_ids, method, size)
        try:
            self._node.puts(bodies, replies, head.token, self._common_name)
        except Exception:  # noqa: BLE001 - a bug in one call must not end the others
            replies.release()
            self._break(stream_ids, method)
        return len(bodies)

    def _admit(self, size: int) -> bool:
        """Count requests of `size` bytes as in flight, and return True.

        If that is too much, return False and stop reading the connection until `wake` is called.
        """
        admitted = self._calls.in_flight.admit(size, self._wake)
        if not admitted:
            self._outgoing.hold()
        return admitted

    def _break(self, stream_ids: list[int], method: Method) -> None:
        """Fail calls after an unexpected exception, unless they were answered."""
        _log.exception(Fact("calls of a method failed", method=method.name))
        for stream_id in filter(self._connection.is_open, stream_ids):
            method.ended(INTERNAL.code)
            self._connection.fail(stream_id, INTERNAL)

    def reply(self, stream_id: int, method: Method, answer: bytes | BrainctlError) -> None:
        """Send the answer to one call."""
        if isinstance(answer, bytes):
            method.ok += 1
            self._connection.reply(stream_id, answer)
            self._outgoing.made(len(answer))
        else:
            status = status_of(answer)
            method.ended(status.code)
            self._connection.fail(stream_id, status)
            self._outgoing.flush_soon()
        if self._deadlines:
            self._deadlines.pop(stream_id, None)

    def released(self, size: int) -> None:
        """Note that a burst of `size` bytes is answered."""
        self._calls.in_flight.release(size)

    def reply_all(self, stream_ids: list[int], method: Method, answers: list[bytes]) -> None:
        """Send the answers to several calls, none of which failed."""
        method.ok += len(answers)
        self._connection.reply_all(stream_ids, answers)
        self._outgoing.made(sum(map(len, answers)))
        if self._deadlines:
            for stream_id in stream_ids:
                self._deadlines.pop(stream_id, None)


class _LargeReply:
    """Takes the answer to a call with a large body, and counts it as in flight until then."""

    __slots__ = ("_in_flight", "_reply", "_size")

    def __init__(self, reply: Callable[[bytes | BrainctlError], None], in_flight: InFlight, size: int) -> None:
        self._reply = reply
        self._in_flight = in_flight
        self._size = size

    def __call__(self, answer: bytes | BrainctlError) -> None:
        self.release()
        self._reply(answer)

    def release(self) -> None:
        size, self._size = self._size, 0
        if size:
            self._in_flight.release(size)


class _Replies:
    """Takes the answers to a burst of calls; see brainctl.node.backend.Replies."""

    __slots__ = ("_calls", "_left", "_method", "_size", "_stream_ids")

    def __init__(self, calls: UnaryCalls, stream_ids: list[int], method: Method, size: int) -> None:
        self._calls = calls
        self._left = len(stream_ids)
        self._size = size
        self._stream_ids = stream_ids
        self._method = method

    def one(self, place: int, answer: bytes | BrainctlError) -> None:
        self._left -= 1
        if not self._left:
            self.release()
        self._calls.reply(self._stream_ids[place], self._method, answer)

    def all(self, answers: list[bytes]) -> None:
        self.release()
        self._calls.reply_all(self._stream_ids, self._method, answers)

    def release(self) -> None:
        size, self._size = self._size, 0
        if size:
            self._calls.released(size)
