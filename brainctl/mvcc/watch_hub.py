"""All watchers of a store: who receives which events, when (etcd server/storage/mvcc/watchable_store.go).

The hub does no I/O. `publish` gives it every durable commit, and it sends the events to the watchers that are up to
date. For the others `next_read` says which part of the log it needs, and `feed` takes that, a piece at a time. The
cost of a watcher does not depend on how far it is behind: one that misses events because its client does not read
remembers a revision, and reads the log from there when the stream resumes, or is cancelled if that was compacted. The
package docstring has an example.

A watcher gets the events of a revision in one response, in order, each revision once, and no progress notification
claims more than what was sent before it on the stream.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import STEP_BYTES, STEP_KEYS, Steps, in_pieces
from brainctl.mvcc.view import Revision
from brainctl.mvcc.watch_event import Event, EventBatch, canceled, event, event_batches, event_batches_steps, fragments
from brainctl.mvcc.watch_index import WatcherGroup, WatchIndex
from brainctl.mvcc.watch_room import WatchRoom
from brainctl.mvcc.watcher import State, Watcher, WatchSink
from brainctl.mvcc.weight import LARGE_CHANGES

RESPONSE_SIZE = 1 << 20
"""Bytes after which a response that carries several revisions is closed; clients accept at least 4 MiB."""
FRAGMENT_SIZE = (1 << 20) * 3 // 2 + (1 << 19)
"""Bytes that no part of a revision reaches, for watchers that accept fragments: etcd's request limit and overhead."""
_BYTES_PER_KEY = STEP_BYTES // STEP_KEYS

Previous = Mapping[tuple[bytes, int], KeyVersion | None]
"""The live version before a change, by the change's key and mod_revision."""


class Read(NamedTuple):
    """The revisions `first <= revision <= last` of the log, which a watcher needs."""

    first: int
    last: int


class Wanted(NamedTuple):
    """The versions that a piece of the history still lacks, and for whom that was found out."""

    changes: list[KeyVersion]
    """The changes for which `feed` wants the version before, as far as that can still be read."""
    audiences: list[WatcherGroup[Watcher]]
    """Those who waited for the piece; who has come with another interest since may want other versions."""


class WatchHub:
    """Delivers the changes of a store to its watchers.

    A watcher is in exactly one place, by its `State`: in `_synced`, in `_behind` and `_queue`, in the `parked` of its
    stream, in `_future`, or nowhere.
    """

    def __init__(
        self,
        revision: int,
        compact_revision: int,
        header: Callable[[int], bytes],
        response_size: int = RESPONSE_SIZE,
        fragment_size: int = FRAGMENT_SIZE,
    ) -> None:
        self.revision = revision
        self.compact_revision = compact_revision
        self.header = header
        self.room = WatchRoom()
        self.events_sent = 0
        """Over all watchers, since the start."""
        self._response_size = response_size
        self._fragment_size = fragment_size
        self._synced: WatchIndex[Watcher] = WatchIndex()
        self._behind: WatchIndex[Watcher] = WatchIndex()
        self._queue: dict[Watcher, None] = {}
        self._future: dict[Watcher, None] = {}
        self._soonest = 0
        self._awaiting_progress: dict[WatchSink, None] = {}
        self._sending = False

    # -- watchers come and go -----------------------------------------------------------------------------------

    def attach(self, watcher: Watcher) -> None:
        """Start a watcher at the revision that it asks for."""
        if watcher.start > self.revision + 1:
            if not self._future or watcher.start < self._soonest:
                self._soonest = watcher.start
            watcher.state = State.FUTURE
            self._future[watcher] = None
        elif watcher.start in (0, self.revision + 1):
            self._sync(watcher)
        else:
            watcher.next = watcher.start
            self._fall_behind(watcher)

    def detach(self, watcher: Watcher) -> None:
        """Stop a watcher; it receives nothing more."""
        match watcher.state:
            case State.SYNCED:
                self._synced.remove(watcher)
            case State.BEHIND:
                self._behind.remove(watcher)
                del self._queue[watcher]
            case State.PARKED:
                del watcher.stream.parked[watcher]
            case State.FUTURE:
                del self._future[watcher]
            case State.ENDED:
                pass
        watcher.state = State.ENDED

    def resume(self, stream: WatchSink) -> None:
        """Queue the watchers of a stream that missed events: its client reads again."""
        missed = list(stream.parked)
        stream.parked.clear()
        for watcher in missed:
            self._fall_behind(watcher)

    def is_synced(self, watcher: Watcher) -> bool:
        """Return whether a watcher was sent everything up to the hub's revision, and has begun by then."""
        return not self._sending and watcher.state is State.SYNCED and watcher.start <= self.revision

    def await_progress(self, stream: WatchSink) -> None:
        """Call a stream's `answer_progress` each time that a watcher has made progress, until `cancel_progress`."""
        self._awaiting_progress[stream] = None

    def cancel_progress(self, stream: WatchSink) -> None:
        """Stop the calls that `await_progress` began."""
        self._awaiting_progress.pop(stream, None)

    def _sync(self, watcher: Watcher) -> None:
        watcher.state = State.SYNCED
        self._synced.add(watcher)

    def _fall_behind(self, watcher: Watcher) -> None:
        watcher.state = State.BEHIND
        self._behind.add(watcher)
        self._queue[watcher] = None

    def _park(self, watcher: Watcher) -> None:
        watcher.state = State.PARKED
        watcher.stream.parked[watcher] = None

    # -- the present --------------------------------------------------------------------------------------------

    def publish(self, commit: Commit) -> None:
        """Send the changes of a commit, which has become durable, to the watchers that are up to date."""
        self.revision = max(self.revision, commit.revision)
        if commit.compact:
            self.compacted(commit.compact)
        if self._synced and not commit.imported:
            if commit.missed:
                self._outrun(commit.missed)
            elif len(commit.changes) > LARGE_CHANGES:
                self._outrun(commit.changes[0].mod_revision)
            else:
                # Sending may resume another stream, whose watchers have not been sent this commit yet: while the flag
                # is set none of them counts as synced.
                self._sending = True
                try:
                    self._send_commit(commit)
                finally:
                    self._sending = False
        if self._future and self._soonest <= self.revision:
            self._arrive()
        if self._awaiting_progress:
            self._answer_progress()

    def compacted(self, revision: int) -> None:
        """Note that the history up to `revision` is gone; watchers that still need it are cancelled when they read."""
        self.compact_revision = max(self.compact_revision, revision)

    def _send_commit(self, commit: Commit) -> None:
        batches = _select(self._synced, commit.changes, commit.before, 0, {})
        header = self.header(self.revision)
        for audience, events in batches.items():
            shared = event_batches(events, self._response_size)
            # A copy: sending may pause or close a stream, which removes watchers from this audience.
            for watcher in list(audience.members):
                if watcher.state is State.SYNCED and not self._send(watcher, header, shared):
                    self._synced.remove(watcher)
                    self._park(watcher)

    def _outrun(self, revision: int) -> None:
        """Turn all synced watchers into ones that read from `revision`: a commit is too large to be sent in one go, or
        lacks changes that were compacted, for which these watchers are then cancelled.
        """
        for audience in self._synced.audiences():
            for watcher in list(audience.members):
                self._synced.remove(watcher)
                watcher.next = revision
                self._fall_behind(watcher)

    def _arrive(self) -> None:
        for watcher in [watcher for watcher in self._future if watcher.start <= self.revision]:
            del self._future[watcher]
            watcher.next = watcher.start
            self._fall_behind(watcher)
        self._soonest = min((watcher.start for watcher in self._future), default=0)

    def _answer_progress(self) -> None:
        for stream in list(self._awaiting_progress):
            stream.answer_progress()

    # -- the past -----------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Return whether any watcher is queued for `next_read`."""
        return bool(self._queue)

    def next_read(self) -> Read | None:
        """Return what to read next, for the watcher that has waited longest; None when nobody needs the history.

        Watchers whose history is gone are cancelled here. The caller may read and `feed` any beginning of the range.
        """
        while self._queue:
            watcher = next(iter(self._queue))
            if watcher.next < self.compact_revision:
                self._cancel(watcher)
            elif watcher.stream.paused:
                self._leave_queue(watcher)
                self._park(watcher)
            else:
                return Read(watcher.next, self.revision)
        self._answer_progress()
        return None

    def previous_wanted(self, revisions: Iterable[Revision]) -> Steps[Wanted]:
        """Return, in steps, for which changes `feed` wants the version before, and for whom.

        Args:
            revisions: The piece of the history that is to be fed.
        """
        oldest = max(self.compact_revision, 1)
        wanted: list[KeyVersion] = []
        audiences = self._behind.audiences()
        if not any(audience.interest.prev_kv for audience in audiences):
            return Wanted(wanted, audiences)
        for revision in revisions:
            for changes in in_pieces(revision.changes) if revision.main > oldest else ():
                wanted += [
                    change
                    for change in changes
                    if any(_wants_before(audience, change) for audience in self._behind.of(change.key))
                ]
                yield len(changes) // 2
        return Wanted(wanted, audiences)

    def feed(
        self,
        first: int,
        last: int,
        revisions: Iterable[Revision],
        previous: Previous,
        audiences: Iterable[WatcherGroup[Watcher]],
    ) -> Steps[None]:
        """Send, in steps, a piece of the history to the watchers that wait for it.

        Watchers may come and go between the steps, and since `previous_wanted`. One that comes with an interest that
        nobody had then waits for the next piece: versions before its changes were not asked for.

        Args:
            first: The first revision of the piece.
            last: The last revision of the piece; `revisions` holds all in between that changed something.
            revisions: The revisions, in order.
            previous: The versions before the changes that `previous_wanted` returned.
            audiences: Those that it returned.
        """
        changes: list[KeyVersion] = []
        before: list[KeyVersion | None] = []
        batches: dict[WatcherGroup[Watcher], list[Event]] = {}
        for revision in revisions:
            for piece in in_pieces(revision.changes):
                place = len(changes)
                changes += piece
                before += [previous.get((change.key, change.mod_revision)) for change in piece]
                _select(self._behind, changes, before, place, batches)
                yield len(piece)
        for audience in audiences:
            events = batches.get(audience, [])
            shared = (yield from event_batches_steps(events, self._response_size)) if events else []
            cost = 1 + sum(len(batch.body) for batch in shared) // _BYTES_PER_KEY
            header = self.header(self.revision)
            for watcher in list(audience.members):
                if watcher.state is State.BEHIND and first <= watcher.next <= last:
                    self._feed_one(watcher, header, events, shared, last)
                    yield cost
        self._answer_progress()

    def _feed_one(
        self, watcher: Watcher, header: bytes, events: list[Event], shared: list[EventBatch], last: int
    ) -> None:
        """Send the events of a piece to one watcher, and let it catch up, wait for the next piece, or park."""
        if watcher.next < self.compact_revision:
            self._cancel(watcher)
            return
        if shared and watcher.next > shared[0].first:
            own = [one for one in events if one.revision >= watcher.next]
            shared = event_batches(own, self._response_size) if own else []
        sent = self._send(watcher, header, shared)
        if watcher.state is not State.BEHIND:
            return
        self._leave_queue(watcher)
        if not sent:
            self._park(watcher)
            return
        watcher.next = last + 1
        if watcher.next > self.revision:
            self._sync(watcher)
        else:
            self._fall_behind(watcher)

    def abandon(self, reason: str) -> None:
        """Cancel the watcher that the last `next_read` was for, because that part of the log cannot be read.

        Args:
            reason: The text for its client.
        """
        watcher = next(iter(self._queue), None)
        if watcher is not None:
            self._cancel(watcher, reason)

    def _leave_queue(self, watcher: Watcher) -> None:
        self._behind.remove(watcher)
        del self._queue[watcher]

    def _cancel(self, watcher: Watcher, reason: str = "") -> None:
        """Cancel a watcher for a reason, or, without one, because the history that it needs was compacted."""
        self.detach(watcher)
        # etcd leaves the revision of this header at 0.
        compact_revision = 0 if reason else self.compact_revision
        watcher.stream.send(canceled(self.header(0), watcher.watch_id, compact_revision, reason))
        watcher.stream.ended(watcher)

    def _send(self, watcher: Watcher, header: bytes, found: list[EventBatch]) -> bool:
        """Send event batches to a watcher.

        Return False when its stream is paused before all were sent; `next` is then the first revision that was not.
        """
        head = header + watcher.id_field
        for batch in found:
            if watcher.stream.paused:
                watcher.next = batch.first
                return False
            watcher.idle_since_tick = False
            if watcher.fragment and len(head) + len(batch.body) >= self._fragment_size:
                for part in fragments(head, batch, self._fragment_size):
                    watcher.stream.send(part)
            else:
                watcher.stream.send(head + batch.body)
            self.events_sent += len(batch.events)
            if watcher.state is State.ENDED:
                break
        return True


def _wants_before(audience: WatcherGroup[Watcher], change: KeyVersion) -> bool:
    return audience.interest.matches(change) and audience.interest.wants_before(change)


def _before_revision(changes: list[KeyVersion], before: list[KeyVersion | None], place: int) -> KeyVersion | None:
    """Return what a key was before the revision of a change.

    A transaction may put a key and then delete it. The version before the delete is then of its own revision, and is
    skipped.
    """
    change, found = changes[place], before[place]
    while found is not None and found.mod_revision == change.mod_revision:
        place -= 1
        if changes[place].key == change.key:
            found = before[place]
    return found


def _select(
    index: WatchIndex[Watcher],
    changes: list[KeyVersion],
    before: list[KeyVersion | None],
    first: int,
    batches: dict[WatcherGroup[Watcher], list[Event]],
) -> dict[WatcherGroup[Watcher], list[Event]]:
    """Add the events of the changes from place `first` on to `batches`, by audience and in order, and return `batches`.

    An event is built once for each of its two forms, with and without prev_kv, and shared by all audiences.
    """
    for place, change in enumerate(changes[first:] if first else changes, first):
        plain = full = None
        for audience in index.of(change.key):
            if not audience.interest.matches(change):
                continue
            if audience.interest.wants_before(change):
                chosen = full = full or event(change, _before_revision(changes, before, place))
            else:
                chosen = plain = plain or event(change)
            events = batches.get(audience)
            if events is None:
                batches[audience] = [chosen]
            else:
                events.append(chosen)
    return batches
