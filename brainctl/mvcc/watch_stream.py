"""The watch protocol of one stream: requests in, responses out (etcd server/etcdserver/api/v3rpc/watch.go).

A stream carries any number of watchers, distinguished by their watch id. The transport calls `pause` when the client
does not read and `resume` when it does; both may be called from inside `send`.
"""

from collections.abc import Callable

from brainctl.errors import COMPACTED
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.ranges import bounds
from brainctl.mvcc.watch_event import canceled, created, progress, refused
from brainctl.mvcc.watch_hub import WatchHub
from brainctl.mvcc.watch_index import Subscription
from brainctl.mvcc.watch_room import TOO_MANY, weight
from brainctl.mvcc.watcher import Watcher

DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"
EMPTY_RANGE = "mvcc: watcher range is empty"
ALL_WATCHERS = -1
"""The watch id of a progress notification that speaks for every watcher of the stream."""


Refuse = Callable[[pb.WatchCreateRequest], str]
"""Returns why the client may not have a watch, empty when it may; it gets the request before its range is normalised.
"""


class WatchStream:
    """The watchers of one stream, each with its watch id; implements `WatchSink`."""

    def __init__(self, hub: WatchHub, send: Callable[[bytes], None], refuse: Refuse = lambda _: "") -> None:
        self.send = send
        self._refuse = refuse
        self.paused = False
        self.parked: dict[Watcher, None] = {}
        self.watchers: dict[int, Watcher] = {}
        self._hub = hub
        self._next_id = 0
        self._held = 0
        """Bytes that the watchers take."""
        self._progress_requested = False

    def receive(self, request: pb.WatchRequest) -> None:
        """Do what a WatchRequest asks for; one that names nothing known is ignored, as etcd does."""
        match request.WhichOneof("request_union"):
            case "create_request":
                self._create(request.create_request)
            case "cancel_request":
                self._cancel(request.cancel_request.watch_id)
            case "progress_request":
                self._progress_requested = True
                self._hub.await_progress(self)
                self.answer_progress()
            case _:
                pass

    def pause(self) -> None:
        """Hold events back: the client does not read."""
        self.paused = True

    def resume(self) -> None:
        """Resume sending, with the first event that was held back: the client reads again."""
        if self.paused:
            self.paused = False
            self._hub.resume(self)
            self.answer_progress()

    def close(self) -> None:
        """End all watchers without a response."""
        self._progress_requested = False
        self._hub.cancel_progress(self)
        for watcher in self.watchers.values():
            self._hub.detach(watcher)
        self.watchers.clear()
        self._hub.room.free(self._held)
        self._held = 0

    def tick(self) -> None:
        """Send progress to the watchers that asked for progress_notify and had no event since the last tick."""
        for watcher in list(self.watchers.values()):
            if not watcher.progress_notify or self.paused:
                continue
            if watcher.idle_since_tick and self._hub.is_synced(watcher):
                self.send(progress(self._hub.header(self._hub.revision), watcher.watch_id))
            watcher.idle_since_tick = True

    def answer_progress(self) -> None:
        """Answer a progress request once every watcher was sent everything up to the hub's revision; else do nothing.

        Requests that have to wait share one answer; without watchers there is none, as in etcd.
        """
        if not self._progress_requested or self.paused or not all(map(self._hub.is_synced, self.watchers.values())):
            return
        self._progress_requested = False
        self._hub.cancel_progress(self)
        if self.watchers:
            self.send(progress(self._hub.header(self._hub.revision), ALL_WATCHERS))

    def ended(self, watcher: Watcher) -> None:
        """Remove a watcher that the hub has cancelled from the stream."""
        if self.watchers.pop(watcher.watch_id, None) is not None:
            self._free(watcher)

    def _create(self, request: pb.WatchCreateRequest) -> None:
        """Answer a create request, and attach the watcher unless the request is refused."""
        header = self._hub.header(self._hub.revision)
        interest = _interest(request)
        reason = self._refusal(request, interest)
        if reason:
            self.send(refused(header, reason))
            return
        size = weight(interest.start, interest.end)
        if not self._hub.room.reserve(size, self._held):
            self.send(refused(header, TOO_MANY))
            return
        watch_id = request.watch_id or self._free_id()
        watcher = Watcher(
            stream=self,
            watch_id=watch_id,
            interest=interest,
            start=request.start_revision,
            fragment=request.fragment,
            progress_notify=request.progress_notify,
        )
        self.watchers[watch_id] = watcher
        self._held += size
        self.send(created(header, watch_id))
        if watch_id in self.watchers:  # sending may have closed the stream
            self._hub.attach(watcher)

    def _refusal(self, request: pb.WatchCreateRequest, interest: Subscription) -> str:
        if request.start_revision < 0:
            return COMPACTED.message
        if reason := self._refuse(request):
            return reason
        if interest.end is not None and interest.end <= interest.start:
            return EMPTY_RANGE
        return DUPLICATE_ID if request.watch_id in self.watchers and request.watch_id else ""

    def _free(self, watcher: Watcher) -> None:
        size = weight(watcher.interest.start, watcher.interest.end)
        self._held -= size
        self._hub.room.free(size)

    def _free_id(self) -> int:
        while self._next_id in self.watchers:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    def _cancel(self, watch_id: int) -> None:
        watcher = self.watchers.pop(watch_id, None)
        if watcher is not None:
            self._free(watcher)
            self._hub.detach(watcher)
            self.send(canceled(self._hub.header(self._hub.revision), watch_id))
            self.answer_progress()


def _interest(request: pb.WatchCreateRequest) -> Subscription:
    start, end = bounds(request.key or b"\0", request.range_end)
    return Subscription(
        start,
        end,
        prev_kv=request.prev_kv,
        no_put=pb.WatchCreateRequest.NOPUT in request.filters,
        no_delete=pb.WatchCreateRequest.NODELETE in request.filters,
    )
