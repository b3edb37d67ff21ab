"""Writes on their way to the disk: writers see them on top of the durable state, readers do not."""

from bisect import bisect_right
from collections.abc import Iterator

from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.steps import Steps, gather, in_pieces
from brainctl.mvcc.tally import Tally
from brainctl.mvcc.view import Selection, View


class PendingWrites:
    """The durable state with the commits in flight above it, as the next write must see them.

    There is one layer (a dict of the newest version by key) per commit in flight, newest first; below them lies `view`.
    A layer is dropped whole once its commit is durable, instead of key by key: 0.06 us less per put
    (docs/internals/write-path.md).
    """

    def __init__(self, view: View, tally: Tally | None = None) -> None:
        """Create the state above `view` with no commit in flight.

        Args:
            view: The durable state.
            tally: Counts the operations that are evaluated on this state; a new one when None.
        """
        self.tally = tally or Tally()
        self.view = view
        self.revision = view.revision
        self.compacted = view.compacted
        self.newest: dict[bytes, KeyVersion] = {}
        """The top layer: the changes of the commit that is being filled, for each key the last one."""
        self._lower: list[dict[bytes, KeyVersion]] = []
        """The layers of the commits before it, newest first."""
        self._commits: list[Commit] = []
        self._meta: dict[bytes, bytes | None] = {}

    def add(self, version: KeyVersion) -> None:
        """Stage a change, so that the writes that follow see it."""
        self.newest[version.key] = version

    def add_meta(self, name: bytes, value: bytes | None) -> None:
        """Stage a small record (None: its removal), so that the writes that follow see it."""
        self._meta[name] = value

    def begin(self, commit: Commit) -> None:
        """Begin a layer for a new commit; its changes are added one by one with `add`."""
        if self._commits:
            self._lower.insert(0, self.newest)
            self.newest = {}
        self._commits.append(commit)

    def durable(self, commit: Commit) -> None:
        """Remove the layer of the oldest commit in flight, which has become part of the view."""
        assert self._commits[0] is commit
        del self._commits[0]
        if self._commits:
            self._lower.pop()
        else:
            self.newest = {}
        for name, value in commit.meta.items():
            if name in self._meta and self._meta[name] is value:
                del self._meta[name]

    def get(self, key: bytes) -> KeyVersion | None:
        """Return the live version of a key; None when there is none."""
        version = self.newest.get(key)
        if version is None:
            return self.below(key)
        return version if version.version else None

    def below(self, key: bytes) -> KeyVersion | None:
        """Return the live version of a key that is not in `newest`, from the lower layers and then the view."""
        for layer in self._lower:
            version = layer.get(key)
            if version is not None:
                return version if version.version else None
        return self.view.get(key)

    def record(self, name: bytes) -> tuple[bool, bytes | None]:
        """Return whether a small record is staged, and as what; (False, None) means: look at the durable one."""
        return (True, self._meta[name]) if name in self._meta else (False, None)

    def record_names(self, prefix: bytes) -> set[bytes]:
        """Return the names of the staged small records with a prefix, removed ones among them."""
        return {name for name in self._meta if name.startswith(prefix)}

    def versions(self, start: bytes, end: bytes | None, revision: int = 0) -> Iterator[KeyVersion]:
        """Yield the live versions of a range, in key order, at `revision` or, when that is 0, the newest."""
        for stretch in self.stretches(start, end, revision):
            yield from stretch

    def stretches(self, start: bytes, end: bytes | None, revision: int = 0) -> Iterator[list[KeyVersion]]:
        """Yield the live versions of a range in lists, as `Ranges.stretches` does; a revision of 0 is the newest."""
        overlay = self._overlay(start, end, revision)
        durable = self.view.stretches(start, end, self._durable_at(revision))
        if not overlay:
            yield from durable
            return
        keys = sorted(overlay)
        at = 0
        for stretch in durable:
            upto = bisect_right(keys, stretch[-1].key, at) if stretch else at
            if upto > at:
                merged = {version.key: version for version in stretch} | {key: overlay[key] for key in keys[at:upto]}
                yield [merged[key] for key in sorted(merged) if merged[key].version]
            else:
                yield stretch
            at = upto
        yield [overlay[key] for key in keys[at:] if overlay[key].version]

    def select_steps(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        """See `Ranges.select_steps`; a revision of 0 is the newest."""
        overlay = self._overlay(start, end, revision)
        if not overlay:
            return (yield from self.view.select_steps(start, end, self._durable_at(revision), limit))
        found = yield from gather(self.stretches(start, end, revision), limit)
        total = len(found)
        if limit and total >= limit:
            total = yield from self.count_steps(start, end, revision)
        return Selection(framed([version.kv for version in found]), total)

    def count_steps(self, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        """See `Ranges.count_steps`; a revision of 0 is the newest."""
        at = self._durable_at(revision)
        total = yield from self.view.count_steps(start, end, at)
        durable = self.view.revision
        for piece in in_pieces(list(self._overlay(start, end, revision).values())):
            for version in piece:
                if version.version and version.create_revision <= durable:
                    continue  # the view counts it: it was created before what is staged, and is still live
                total += bool(version.version) - (self.view.get(version.key, at) is not None)
            yield len(piece)
        return total

    def _durable_at(self, revision: int) -> int:
        """Return the revision at which to read the view, for a read at `revision`; 0 for the newest."""
        return revision if revision <= self.view.revision else 0

    def _overlay(self, start: bytes, end: bytes | None, revision: int) -> dict[bytes, KeyVersion]:
        """Return the staged versions of a range that a read at `revision` (0: the newest) sees above the view."""
        if 0 < revision <= self.view.revision:
            return {}
        if revision == 0:
            found = self._above().values()
            return {v.key: v for v in found if start <= v.key and (end is None or v.key < end)}
        return {
            change.key: change
            for commit in self._commits
            for change in commit.changes
            if change.mod_revision <= revision and start <= change.key and (end is None or change.key < end)
        }

    def attached(self, lease: int) -> set[bytes]:
        """Return the keys that the commits in flight left attached to a lease.

        They are candidates beside the keys that are attached in the durable state.
        """
        return {key for key, version in self._above().items() if version.lease == lease}

    def _above(self) -> dict[bytes, KeyVersion]:
        """Return what all commits in flight changed: for each key the last version."""
        above: dict[bytes, KeyVersion] = {}
        for layer in reversed(self._lower):
            above.update(layer)
        above.update(self.newest)
        return above
