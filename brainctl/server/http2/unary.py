"""Serve the unary calls of one HTTP/2 connection.

What a call costs here is paid for every get and every put, so calls that came together stay together: they are counted
once, and puts go to the node as one run, whose answers come back at once.
"""

import asyncio
import logging
from functools import partial
from typing import Final

from brainctl.errors import BrainctlError, Status
from brainctl.server.call_stats import Calls, Method
from brainctl.server.http2.write_buffer import WriteBuffer
from brainctl.server.node_protocol import PUT, Node
from brainctl.server.status import DEADLINE_EXCEEDED, INTERNAL, SOONEST_SECONDS, status_of, unknown_path
from brainctl.wire.events import Requests
from brainctl.wire.head import Head
from brainctl.wire.server import ServerConnection

_log = logging.getLogger(__name__)

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
    ) -> None:
        self._node = node
        self._connection = connection
        self._outgoing = outgoing
        self._calls = calls
        self._deadlines = deadlines
        self._common_name = common_name
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, Method] = {}

    def serve(self, requests: Requests) -> Requests | None:
        """Serve calls, and return those that have to wait because too much is to be sent; None when there are none."""
        head, stream_ids, bodies = requests
        method = self._known.get(head.path) or self._check_path(head.path)
        if isinstance(method, Status):
            for stream_id in stream_ids:
                self._connection.fail(stream_id, method)
            return None
        if head.timeout is not None and head.timeout < SOONEST_SECONDS:
            method.started += len(stream_ids)
            for stream_id in stream_ids:
                method.ended(DEADLINE_EXCEEDED.code)
                self._connection.fail(stream_id, DEADLINE_EXCEEDED)
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

    def _check_path(self, path: str) -> Method | Status:
        status = unknown_path(path)
        if status is not None:
            return status
        method = self._calls.of(path)
        if len(self._known) < _KNOWN_PATHS:
            self._known[path] = method
        return method

    def _serve_each(self, head: Head, stream_ids: list[int], bodies: list[bytes], method: Method) -> int:
        """Serve calls one by one until too much is to be sent, and return how many were served."""
        path, token, common_name = head.path, head.token, self._common_name
        call, outgoing = self._node.call, self._outgoing
        served = 0
        for stream_id, body in zip(stream_ids, bodies, strict=True):
            served += 1
            try:
                call(path, body, partial(self.reply, stream_id, method), token, common_name)
            except Exception:  # noqa: BLE001 - a bug in one call must not end the others
                self._break([stream_id], method)
            if outgoing.full:
                break
        return served

    def _serve_puts(self, head: Head, stream_ids: list[int], bodies: list[bytes], method: Method) -> int:
        try:
            self._node.puts(bodies, _Replies(self, stream_ids, method), head.token, self._common_name)
        except Exception:  # noqa: BLE001 - a bug in one call must not end the others
            self._break(stream_ids, method)
        return len(bodies)

    def _break(self, stream_ids: list[int], method: Method) -> None:
        _log.exception("%s failed", method.name)
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

    def reply_all(self, stream_ids: list[int], method: Method, answers: list[bytes]) -> None:
        """Send the answers to several calls, none of which failed."""
        method.ok += len(answers)
        self._connection.reply_all(stream_ids, answers)
        self._outgoing.made(sum(map(len, answers)))
        if self._deadlines:
            for stream_id in stream_ids:
                self._deadlines.pop(stream_id, None)


class _Replies:
    """Takes the answers to a run of calls; see brainctl.node.backend.Replies."""

    __slots__ = ("_calls", "_method", "_stream_ids")

    def __init__(self, calls: UnaryCalls, stream_ids: list[int], method: Method) -> None:
        self._calls = calls
        self._stream_ids = stream_ids
        self._method = method

    def one(self, place: int, answer: bytes | BrainctlError) -> None:
        self._calls.reply(self._stream_ids[place], self._method, answer)

    def all(self, answers: list[bytes]) -> None:
        self._calls.reply_all(self._stream_ids, self._method, answers)
