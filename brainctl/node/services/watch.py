"""The Watch service: the streams of a node over one watch hub.

The transport holds a `WatchSession` per stream. It passes in each request with `receive`, and calls `close` when the
stream has ended for whatever reason. When too many unsent bytes are queued for the client, it calls `pause`, and
`resume` when they have drained; it may do so from inside `send`. A paused stream still gets the answers to the client's
own requests, but no events.
"""

import logging
from collections.abc import Callable

from google.protobuf.message import DecodeError

from brainctl.clock import Clock
from brainctl.errors import ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.log import Fact
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.watch_hub import WatchHub
from brainctl.mvcc.watch_stream import Refuse, WatchStream
from brainctl.mvcc.watcher import State
from brainctl.node.backend import Backend
from brainctl.node.handler import MALFORMED
from brainctl.node.jobs.watch_backfill import catch_up
from brainctl.node.options import PROGRESS_SECONDS

_log = logging.getLogger(__name__)
_ADVICE = "raise --max-client-memory, or find the client with that many watches"


class WatchService:
    """All watch streams of a node."""

    def __init__(self, backend: Backend, clock: Clock, progress_seconds: float = PROGRESS_SECONDS) -> None:
        self._backend = backend
        self._clock = clock
        self._progress_seconds = progress_seconds
        self._ticking = False
        self._sessions: dict[WatchSession, None] = {}
        self.hub = WatchHub(backend.revision, backend.compacted, backend.header)
        self.hub.room.on_full = self._warn
        self.catch_up = catch_up(self.hub, backend)
        backend.subscribe(self._publish)

    def open(self, send: Callable[[bytes], None], refuse: Refuse = lambda _: "") -> "WatchSession":
        """Open a stream, which answers through `send` with marshalled WatchResponses.

        Args:
            send: Takes a marshalled WatchResponse; when it raises, the stream is closed.
            refuse: Returns the reason to refuse a watch, or "" to permit it.
        """

        def guarded(body: bytes) -> None:
            try:
                send(body)
            except Exception:  # noqa: BLE001 - a commit must reach the other watchers, whatever one does
                _log.exception(Fact("a watch stream failed, and is closed"))
                session.close()

        stream = WatchStream(self.hub, guarded, refuse)
        session = WatchSession(self, stream, self._clock.monotonic() + self._progress_seconds)
        self._sessions[session] = None
        if not self._ticking:
            self._ticking = True
            self._tick_later()
        return session

    @property
    def streams(self) -> int:
        """Return how many streams are open."""
        return len(self._sessions)

    @property
    def watchers(self) -> int:
        """Return how many watchers there are, over all streams."""
        return sum(len(session.stream.watchers) for session in self._sessions)

    @property
    def slow_watchers(self) -> int:
        """Return how many watchers still miss events that have already happened."""
        states = (watcher.state for session in self._sessions for watcher in session.stream.watchers.values())
        return sum(state in (State.BEHIND, State.PARKED) for state in states)

    def _warn(self) -> None:
        _log.warning(
            Fact("a watcher is refused: watchers fill their memory", held_bytes=self.hub.room.held, advice=_ADVICE)
        )

    def forget(self, session: "WatchSession") -> None:
        """Remove a stream that was closed."""
        self._sessions.pop(session, None)

    def _publish(self, commit: Commit) -> None:
        self.hub.publish(commit)
        if self.hub.behind:
            self.catch_up.wake()

    def _tick_later(self) -> None:
        # One timer for all streams: it lengthens their intervals by up to a tenth, as etcd's jitter does.
        self._backend.call_later(self._progress_seconds / 10, self._tick)

    def _tick(self) -> None:
        """Send the progress notifications that are due."""
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
        """The time of its next progress notification, in seconds of the monotonic clock."""
        self._service = service

    def receive(self, body: bytes) -> None:
        """Serve a marshalled WatchRequest.

        Raises:
            ApiError: The bytes are no WatchRequest; the transport should end the stream with this error.
        """
        try:
            request = pb.WatchRequest.FromString(body)
        except DecodeError as error:
            raise ApiError(MALFORMED) from error
        self.stream.receive(request)
        self._wake()

    def pause(self) -> None:
        """Send no events until `resume`: the client does not read."""
        self.stream.pause()

    def resume(self) -> None:
        """Send events again: the client reads."""
        self.stream.resume()
        self._wake()

    def close(self) -> None:
        """End the stream; nothing is sent any more."""
        self.stream.close()
        self._service.forget(self)

    def _wake(self) -> None:
        if self._service.hub.behind:
            self._service.catch_up.wake()
