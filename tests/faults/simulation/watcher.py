"""A client of one watch, which knows from the model what it must be sent."""

from collections.abc import Callable

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.node import Node
from brainctl.node.services.watch import WatchSession
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.model import Version, inside


class Watcher:
    """Follows a range over any number of restarts; each response is checked when it comes."""

    def __init__(self, journal: Journal, key: bytes, end: bytes, start: int) -> None:
        self.key, self.end = key, end
        self._journal = journal
        self.next = start
        """The events below this revision have come; 0 until the server has said where the watch begins."""
        self.paused = False
        self.events = 0
        self._session: WatchSession | None = None

    def connect(self, node: Node) -> None:
        """Open a stream, and go on where the last one ended."""
        self.paused = False
        self._session = node.watch(self._guarded())
        self._create()

    def _create(self) -> None:
        create = pb.WatchCreateRequest(key=self.key, range_end=self.end, start_revision=self.next, prev_kv=True)
        assert self._session is not None
        self._session.receive(pb.WatchRequest(create_request=create).SerializeToString())

    def _guarded(self) -> Callable[[bytes], None]:
        """Errors are kept: a node lets no watcher disturb it."""

        def send(body: bytes) -> None:
            try:
                self._take(pb.WatchResponse.FromString(body))
            except AssertionError as error:
                self._journal.complaints.append(f"watch of {self.key!r} to {self.end!r}: {error}")

        return send

    def pause(self) -> None:
        assert self._session is not None
        self.paused = True
        self._session.pause()

    def resume(self) -> None:
        assert self._session is not None
        self.paused = False
        self._session.resume()

    def disconnect(self) -> None:
        assert self._session is not None
        self._session.close()

    def missing(self, revision: int) -> list[Version]:
        """Events up to a revision that have not come."""
        history = self._journal.model.history(self.next, revision)
        return [version for version in history if inside(version.key, self.key, self.end)]

    def _take(self, response: pb.WatchResponse) -> None:
        journal = self._journal
        revision = response.header.revision
        assert revision <= journal.model.revision, f"revision {revision} does not exist"
        journal.shown = max(journal.shown, revision)
        if response.created:
            self.next = self.next or revision + 1
        elif response.canceled:
            compacted = response.compact_revision
            assert compacted, f"cancelled: {response.cancel_reason}"
            assert self.next < compacted <= journal.model.compacted, "cancelled for no reason"
            self.next = compacted
            self._create()
        elif response.events:
            self._take_events(response)

    def _take_events(self, response: pb.WatchResponse) -> None:
        last = response.events[-1].kv.mod_revision
        assert last <= response.header.revision, "an event of the future"
        wanted = self.missing(last)
        got = [(event.kv, event.type == event.DELETE) for event in response.events]
        assert got == [(version.kv(), not version.version) for version in wanted], "other events than there were"
        model = self._journal.model
        for event, version in zip(response.events, wanted, strict=True):
            before = model.get(version.key, version.mod - 1)
            if event.HasField("prev_kv"):
                assert before is not None
                assert event.prev_kv == before.kv()
            else:  # what was before may have been compacted
                assert before is None or version.mod - 1 < model.compacted, "no prev_kv"
        self.events += len(wanted)
        self.next = last + 1
