"""The keys as every revision left them: the newest versions, the older ones of a window, and the log of changes."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from brainctl.check.line import Line, Version

WINDOW = 16_384
"""Number of changed revisions back to which reads and watches are checked; older ones are counted as not checked."""


class Change(NamedTuple):
    """A change of one key: the new version, and the one before; None when there was none."""

    new: Version
    old: Version | None


class Replay:
    """The keys of a history, as the operations up to `position` leave them."""

    def __init__(self, position: int, kvs: Iterable[Version] = (), window: int = WINDOW) -> None:
        self.position = position
        """The newest revision that was replayed."""
        self.base = position
        """The revision before the history: what was changed until then is not known."""
        self.first = position
        """The oldest revision that can be read."""
        self.state: dict[str, Version] = {}
        self.causes: list[Line | None] = []
        """Operation behind each entry of the log, by its index; None for a lease that ran out."""
        self._window = window
        self._keys: list[str] = []
        self._versions: dict[str, list[Version]] = {}
        self._revisions: list[int] = []
        self._changes: list[Sequence[tuple[Version, Version | None]]] = []
        self.attached: dict[int, set[str]] = {}
        """The keys of each lease that has some."""
        for kv in kvs:
            self._set(kv)

    def get(self, key: str) -> Version | None:
        """See `View.get`."""
        return self.state.get(key)

    def span(self, key: str, end: str) -> list[Version]:
        """See `View.span`."""
        keys = self._keys
        stop = len(keys) if end == "\0" else bisect_left(keys, end)
        state = self.state
        return [state[name] for name in keys[bisect_left(keys, key) : stop]]

    def apply(self, revision: int, news: Sequence[Version], cause: Line | None) -> None:
        """Replay one revision."""
        self._changes.append([(new, self._set(new)) for new in news])
        self._append(revision, cause)

    def put(self, revision: int, key: str, value: str, lease: int, cause: Line) -> None:
        """Replay one put, which is what most revisions are."""
        old = self.state.get(key)
        if old is None or old.lease or lease:
            create, version = (old.create, old.version + 1) if old else (revision, 1)
            self.apply(revision, (Version(key, create, revision, version, value, lease),), cause)
            return
        new: Version = _NEW(Version, (key, old.create, revision, old.version + 1, value, 0))
        self.state[key] = new
        self._versions[key].append(new)
        self._changes.append(((new, old),))
        self._append(revision, cause)

    def _append(self, revision: int, cause: Line | None) -> None:
        self._revisions.append(revision)
        self.causes.append(cause)
        self.position = revision
        if len(self._revisions) > 2 * self._window:
            self._forget()

    def at(self, revision: int) -> "Past":
        """Return the keys at an earlier revision, which must not be before `first`."""
        return Past(self, revision)

    def version_at(self, key: str, revision: int) -> Version | None:
        """Return the version of a key at an earlier revision."""
        found = self._versions.get(key)
        if found is None:
            return None
        index = bisect_right(found, revision, key=_mod)
        version = found[index - 1] if index else None
        return version if version and version.version else None

    def names(self, key: str, end: str) -> list[str]:
        """Return the names in a range of all keys that the window knows, deleted ones too, in order."""
        return sorted(name for name in self._versions if name >= key and (end == "\0" or name < end))

    def changes(self, after: int, until: int) -> list[Change]:
        """Return the changes of the revisions above `after` and up to `until`, in order."""
        first, last = bisect_right(self._revisions, after), bisect_right(self._revisions, until)
        return [Change(*change) for changes in self._changes[first:last] for change in changes]

    def cause(self, revision: int) -> Line | None:
        """Return the operation that made a revision; None when the window does not know one."""
        index = bisect_left(self._revisions, revision)
        known = index < len(self._revisions) and self._revisions[index] == revision
        return self.causes[index] if known else None

    def deleted_at(self, key: str, revision: int) -> int:
        """Return the revision at which a key that is not there at `revision` was deleted; 0 when that is not known."""
        found = self._versions.get(key, [])
        index = bisect_right(found, revision, key=_mod)
        return found[index - 1].mod if index else 0

    def _set(self, new: Version) -> Version | None:
        key, state = new.key, self.state
        old = state.get(key)
        if old is not None and old.lease:
            self.attached[old.lease].discard(key)
        if new.version:
            state[key] = new
            if old is None:
                insort(self._keys, key)
            if new.lease:
                self.attached.setdefault(new.lease, set()).add(key)
        elif old is not None:
            del state[key]
            del self._keys[bisect_left(self._keys, key)]
        known = self._versions.get(key)
        if known is None:
            self._versions[key] = [new]
        else:
            known.append(new)
        return old

    def _forget(self) -> None:
        """Drop the older half of the window, and the versions that only it shows."""
        cut = len(self._revisions) - self._window
        self.first = self._revisions[cut] - 1
        for key in {new.key for changes in self._changes[:cut] for new, _ in changes}:
            found = self._versions[key]
            keep = bisect_right(found, self.first, key=_mod) - 1
            if keep >= 0 and not found[keep].version:
                keep += 1
            del found[: max(keep, 0)]
            if not found:
                del self._versions[key]
        del self._revisions[:cut], self._changes[:cut], self.causes[:cut]


class Past:
    """The keys at an earlier revision; a `View`."""

    def __init__(self, replay: Replay, revision: int) -> None:
        self._replay = replay
        self._revision = revision

    def get(self, key: str) -> Version | None:
        """See `View.get`."""
        return self._replay.version_at(key, self._revision)

    def span(self, key: str, end: str) -> list[Version]:
        """See `View.span`."""
        found = (self.get(name) for name in self._replay.names(key, end))
        return [version for version in found if version]


_NEW = tuple.__new__


def _mod(version: Version) -> int:
    return version.mod
