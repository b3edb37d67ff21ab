"""Reading of history for unsynced watchers, a bounded piece at a time. The package docstring has an example."""

import logging
from itertools import chain
from typing import Protocol

from brainctl.errors import BrainctlError
from brainctl.log import Fact
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import Steps, finish, one_slice, release
from brainctl.mvcc.view import AsyncView, Revision, View
from brainctl.mvcc.watch_hub import Read, WatchHub
from brainctl.node.backend import Backend

_log = logging.getLogger(__name__)

READ_BYTES = 1 << 18
"""About how many bytes of history one step of catching up holds in memory."""
READ_CHANGES = 1000
"""The changes after which a step of catching up ends, at the next end of a revision."""
TRAIL_KEYS = 10_000
"""The most keys that `PreviousVersions` remembers, checked between pieces."""
RETRY_SECONDS = 0.5
"""Seconds to wait after the backend could not be read."""

Place = tuple[bytes, int]
"""Key and mod_revision of a change."""


class CatchUp(Protocol):
    """Reads the history that the watch hub wants, until it wants none."""

    def wake(self) -> None:
        """Look whether the hub wants history; call it whenever that may be so."""


class HistoryChunk:
    """The beginning of a wanted range of revisions, as far as it was read; it always ends at the end of a revision."""

    def __init__(self, read: Read) -> None:
        self.first = read.first
        self.last = read.last
        self.revisions: list[Revision] = []
        self._bytes = self._changes = 0

    def add(self, revision: Revision) -> bool:
        """Take the next revision; return whether that is enough for one step."""
        return self.add_some(revision.changes) or self.enough()

    def add_some(self, changes: list[KeyVersion]) -> bool:
        """Take more changes; return True when a revision before them was enough, so that these are left for later."""
        for change in changes:
            if not self.revisions or self.revisions[-1].main != change.mod_revision:
                if self.enough():
                    return True
                self.revisions.append(Revision(change.mod_revision, []))
            self.revisions[-1].changes.append(change)
            self._bytes += len(change.kv)
            self._changes += 1
        return False

    def enough(self) -> bool:
        """Return whether what was read is enough for one step; if so, end the range with the last revision read."""
        if not self.revisions or (self._bytes < READ_BYTES and self._changes < READ_CHANGES):
            return False
        self.last = self.revisions[-1].main
        return True


class PreviousVersions:
    """The version before each change (`prev_kv`), found while pieces of history are read one after the other.

    Looking up an old version walks back from the newest one, which is far for a key that changes often; the history
    itself passes the previous version on its way.
    """

    def __init__(self) -> None:
        self._next = 0
        self._newest: dict[bytes, KeyVersion | None] = {}

    def follow(
        self, piece: HistoryChunk, wanted: list[KeyVersion]
    ) -> Steps[tuple[dict[Place, KeyVersion | None], list[KeyVersion]]]:
        """Return the versions before the wanted changes of a piece, and the changes that must be looked up instead."""
        if piece.first != self._next or len(self._newest) > TRAIL_KEYS:
            self._newest.clear()
        self._next = piece.last + 1
        newest = self._newest
        if not wanted:
            newest.clear()
            return {}, []
        places = {(change.key, change.mod_revision) for change in wanted}
        keys = {change.key for change in wanted}
        known: dict[Place, KeyVersion | None] = {}
        unknown: list[KeyVersion] = []
        for change in chain.from_iterable(revision.changes for revision in piece.revisions):
            if change.key not in keys:
                newest.pop(change.key, None)
                continue
            place = (change.key, change.mod_revision)
            if place in places:
                # A transaction may change a key twice: the previous version of both is that before the first change.
                places.remove(place)
                if change.key in newest:
                    known[place] = newest[change.key]
                else:
                    unknown.append(change)
            newest[change.key] = change if change.version else None
            yield 1
        return known, unknown


class LocalCatchUp:
    """Catches up from a view that answers at once, one bounded piece per turn of the event loop."""

    def __init__(self, hub: WatchHub, view: View, backend: Backend) -> None:
        self._hub = hub
        self._view = view
        self._backend = backend
        self._scheduled = False
        self._work: Steps[None] | None = None
        """The unfinished work on the current piece; None when no piece was begun."""
        self._trail = PreviousVersions()

    def wake(self) -> None:
        """See `CatchUp.wake`: read in the next turn of the event loop."""
        if not self._scheduled:
            self._scheduled = True
            self._backend.call_later(0, self._step)

    def _step(self) -> None:
        """Do one slice of work on the current piece, or begin the next piece."""
        self._scheduled = False
        if self._work is None:
            read = self._hub.next_read()
            if read is None:
                return
            self._work = self._feed(read)
        try:
            if one_slice(self._work).done:
                self._work = None
        except BrainctlError as error:
            # A record that cannot be read will not become readable: cancel the watchers that need it, serve the others.
            _log.error(Fact("watchers are cancelled: their history cannot be read", error=error, advice=error.advice))
            self._work = None
            self._hub.abandon(str(error))
        if self._work is not None or self._hub.behind:
            self.wake()

    def _feed(self, read: Read) -> Steps[None]:
        """Read the next piece of the history, with the previous versions that watchers want, and pass it to the hub."""
        view = self._view
        piece = HistoryChunk(read)
        for changes in view.history_pieces(read.first, read.last):
            if piece.add_some(changes):
                break
            yield len(changes)
        wanted = yield from self._hub.previous_wanted(piece.revisions)
        previous, unknown = yield from self._trail.follow(piece, wanted.changes)
        for change in unknown:
            previous[change.key, change.mod_revision] = view.get(change.key, change.mod_revision - 1)
            yield 1
        yield from self._hub.feed(piece.first, piece.last, piece.revisions, previous, wanted.audiences)
        for revision in piece.revisions:
            yield from release(revision.changes)


class RemoteCatchUp:
    """Catches up from a view over a network, in one task that lives while a watcher is unsynced."""

    def __init__(self, hub: WatchHub, view: AsyncView, backend: Backend) -> None:
        self._hub = hub
        self._view = view
        self._backend = backend
        self._running = False
        self._trail = PreviousVersions()

    def wake(self) -> None:
        """See `CatchUp.wake`: start the task unless it runs."""
        if not self._running:
            self._running = True
            self._backend.spawn(self._run())

    async def _run(self) -> None:
        """Read pieces until the hub wants none; after a failure start again RETRY_SECONDS later."""
        try:
            while (read := self._hub.next_read()) is not None:
                await self._step(read)
        except BrainctlError as error:
            _log.warning(Fact("reading the history for watchers is tried again", error=error))
            self._hub.compacted(self._view.compacted)
            self._backend.call_later(RETRY_SECONDS, self.wake)
        finally:
            self._running = False

    async def _step(self, read: Read) -> None:
        """Read the next piece of the history, with the previous versions that watchers want, and pass it to the hub."""
        view = self._view
        piece = HistoryChunk(read)
        async for revision in view.history(read.first, read.last):
            if piece.add(revision):
                break
        wanted = finish(self._hub.previous_wanted(piece.revisions))
        previous, unknown = finish(self._trail.follow(piece, wanted.changes))
        for change in unknown:
            previous[change.key, change.mod_revision] = await view.get(change.key, change.mod_revision - 1)
        # Changes compacted meanwhile may be missing from what was read; the hub then cancels instead of sending.
        self._hub.compacted(view.compacted)
        finish(self._hub.feed(piece.first, piece.last, piece.revisions, previous, wanted.audiences))


def catch_up(hub: WatchHub, backend: Backend) -> CatchUp:
    """Return the kind of catching up that fits the view of a backend: local or over a network."""
    view = backend.view
    return RemoteCatchUp(hub, view, backend) if view.remote else LocalCatchUp(hub, view, backend)
