"""The Watch service: streams over the hub, and the reading of history for watchers that are behind.

The transport holds a `WatchSession` per stream. It hands in each request with `receive`, and calls `close` when the
stream has ended for whatever reason. While more unsent bytes are queued for the client than the transport likes, it
calls `pause`, and `resume` when they have drained; it may do so from inside `send`. A paused stream is still sent
the answers to the client's own requests, but no events.
"""

import logging
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Protocol, cast

from google.protobuf.message import DecodeError

from brainctl.clock import Clock
from brainctl.errors import ApiError, BrainctlError, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.view import AsyncView, Revision, View
from brainctl.mvcc.watch_hub import Read, WatchHub
from brainctl.mvcc.watch_stream import WatchStream
from brainctl.node.medium import Medium

_log = logging.getLogger(__name__)

PROGRESS_SECONDS = 600.0
"""etcd's interval of progress notifications."""
READ_BYTES = 1 << 20
"""About how much history one step of catching up holds in memory."""
READ_REVISIONS = 1000
RETRY_SECONDS = 0.5
"""How long to wait after the medium could not be read."""
_MALFORMED = Status(Code.INTERNAL, "grpc: failed to unmarshal the received message")


class CatchUp(Protocol):
    """Reads the history that the hub wants, until it wants none."""

    def wake(self) -> None:
        """The hub may want something."""


class WatchService:
    """All watch streams of a node."""

    def __init__(self, medium: Medium, clock: Clock, progress_seconds: float = PROGRESS_SECONDS) -> None:
        self._medium = medium
        self._clock = clock
        self._progress_seconds = progress_seconds
        self._ticking = False
        self._sessions: dict[WatchSession, None] = {}
        self.hub = WatchHub(medium.revision, medium.compacted, medium.header)
        self.catch_up = catch_up(self.hub, medium)
        medium.subscribe(self._publish)

    def open(self, send: Callable[[bytes], None]) -> "WatchSession":
        """A stream, which answers through `send` with marshalled WatchResponses."""
        session = WatchSession(self, WatchStream(self.hub, send), self._clock.monotonic() + self._progress_seconds)
        self._sessions[session] = None
        if not self._ticking:
            self._ticking = True
            self._tick_later()
        return session

    def forget(self, session: "WatchSession") -> None:
        """A stream was closed."""
        self._sessions.pop(session, None)

    def _publish(self, commit: Commit) -> None:
        self.hub.publish(commit)
        if self.hub.behind:
            self.catch_up.wake()

    def _tick_later(self) -> None:
        # One timer for all streams; what it adds to their intervals is etcd's jitter of up to a tenth.
        self._medium.call_later(self._progress_seconds / 10, self._tick)

    def _tick(self) -> None:
        now = self._clock.monotonic()
        for session in list(self._sessions):
            if session.due <= now:
                session.due = now + self._progress_seconds
                session.stream.tick()
        self._ticking = bool(self._sessions)
        if self._ticking:
            self._tick_later()


class WatchSession:
    """One Watch stream, as the transport sees it."""

    def __init__(self, service: WatchService, stream: WatchStream, due: float) -> None:
        self.stream = stream
        self.due = due
        """When its progress timer fires, in seconds of the clock."""
        self._service = service

    def receive(self, body: bytes) -> None:
        """Serve a marshalled WatchRequest; ApiError when it is none, and then the stream should be ended with it."""
        try:
            request = pb.WatchRequest.FromString(body)
        except DecodeError as error:
            raise ApiError(_MALFORMED) from error
        self.stream.receive(request)
        self._wake()

    def pause(self) -> None:
        """The client does not read: send no events until `resume`."""
        self.stream.pause()

    def resume(self) -> None:
        """The client reads again."""
        self.stream.resume()
        self._wake()

    def close(self) -> None:
        """The stream has ended; nothing is sent any more."""
        self.stream.close()
        self._service.forget(self)

    def _wake(self) -> None:
        if self._service.hub.behind:
            self._service.catch_up.wake()


class LocalCatchUp:
    """Catches up from a view that answers at once, one bounded piece per turn of the event loop."""

    def __init__(self, hub: WatchHub, view: View, medium: Medium) -> None:
        self._hub = hub
        self._view = view
        self._medium = medium
        self._scheduled = False

    def wake(self) -> None:
        """Read in the next turn."""
        if not self._scheduled:
            self._scheduled = True
            self._medium.call_later(0, self._step)

    def _step(self) -> None:
        self._scheduled = False
        read = self._hub.next_read()
        if read is None:
            return
        view = self._view
        piece = Piece(read)
        for revision in view.history(read.first, read.last):
            if piece.add(revision):
                break
        previous: dict[tuple[bytes, int], KeyVersion | None] = {
            (change.key, change.mod_revision): view.get(change.key, change.mod_revision - 1)
            for change in self._hub.previous_wanted(piece.revisions)
        }
        self._hub.feed(read.first, piece.last, piece.revisions, previous)
        if self._hub.behind:
            self.wake()


class RemoteCatchUp:
    """Catches up from a view over a network, in one task that lives while somebody is behind."""

    def __init__(self, hub: WatchHub, view: AsyncView, medium: Medium) -> None:
        self._hub = hub
        self._view = view
        self._medium = medium
        self._running = False

    def wake(self) -> None:
        """Start the task unless it runs."""
        if not self._running:
            self._running = True
            self._medium.spawn(self._run())

    async def _run(self) -> None:
        try:
            while (read := self._hub.next_read()) is not None:
                await self._step(read)
        except BrainctlError as error:
            _log.warning("history for watchers cannot be read, trying again: %s", error)
            self._hub.compacted(self._view.compacted)
            self._medium.call_later(RETRY_SECONDS, self.wake)
        finally:
            self._running = False

    async def _step(self, read: Read) -> None:
        view = self._view
        piece = Piece(read)
        async for revision in view.history(read.first, read.last):
            if piece.add(revision):
                break
        previous: dict[tuple[bytes, int], KeyVersion | None] = {}
        for change in self._hub.previous_wanted(piece.revisions):
            previous[change.key, change.mod_revision] = await view.get(change.key, change.mod_revision - 1)
        # What was compacted meanwhile may be missing from what was read; the hub then cancels instead of sending.
        self._hub.compacted(view.compacted)
        self._hub.feed(read.first, piece.last, piece.revisions, previous)


class Piece:
    """The beginning of a wanted range, as far as it was read."""

    def __init__(self, read: Read) -> None:
        self.last = read.last
        self.revisions: list[Revision] = []
        self._bytes = 0

    def add(self, revision: Revision) -> bool:
        """Take the next revision; True when that is enough for one step."""
        self.revisions.append(revision)
        self._bytes += sum(len(change.kv) for change in revision.changes)
        if self._bytes < READ_BYTES and len(self.revisions) < READ_REVISIONS:
            return False
        self.last = revision.main
        return True


def catch_up(hub: WatchHub, medium: Medium) -> CatchUp:
    """The way to catch up that fits a medium's view."""
    if iscoroutinefunction(medium.view.get):
        return RemoteCatchUp(hub, cast("AsyncView", medium.view), medium)
    return LocalCatchUp(hub, cast("View", medium.view), medium)
