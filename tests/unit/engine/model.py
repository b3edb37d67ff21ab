"""What a store must hold, kept the plain way: every version of every key, and nothing clever."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from brainctl.engine.engine import Engine
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion, marshal_kv, put_version, tombstone
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.view import Revision

Changes = Sequence[tuple[bytes, bytes | None]]
"""What one revision does: keys with their new values, None for a delete of a key that is live."""


def author(
    get: Callable[[bytes], KeyVersion | None],
    revision: int,
    *revisions: Changes,
    lease: int = 0,
    ahead: dict[bytes, KeyVersion] | None = None,
) -> Commit:
    """A commit upon the state that `get` and `revision` tell of, and the changes in `ahead`, which it adds to."""
    commit = Commit(revision)
    ahead = {} if ahead is None else ahead
    for changes in revisions:
        commit.revision += 1
        for sub, (key, value) in enumerate(changes):
            before = ahead.get(key) or get(key)
            if before is not None and not before.version:
                before = None
            if value is None:
                change = tombstone(key, commit.revision, sub)
            else:
                change = put_version(key, value, lease, commit.revision, sub, before)
            ahead[key] = change
            commit.changes.append(change)
            commit.before.append(before)
    return commit


@dataclass
class Model:
    revision: int = 1
    compacted: int = 0
    keys: dict[bytes, list[KeyVersion]] = field(default_factory=dict)
    meta: dict[bytes, bytes] = field(default_factory=dict)
    log: list[KeyVersion] = field(default_factory=list)
    """The changes that have a place in the history."""

    def copy(self) -> "Model":
        keys = {key: list(versions) for key, versions in self.keys.items()}
        return Model(self.revision, self.compacted, keys, dict(self.meta), list(self.log))

    def apply(self, commit: Commit) -> None:
        for change in commit.changes:
            self.keys.setdefault(change.key, []).append(change)
            if not commit.imported:
                self.log.append(change)
        for name, value in commit.meta.items():
            self.meta.pop(name, None)
            if value is not None:
                self.meta[name] = value
        self.revision = commit.revision
        self.compacted = commit.compact or self.compacted

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        found = None
        for version in self.keys.get(key, ()):
            if not revision or version.mod_revision <= revision:
                found = version
        return found if found is not None and found.version else None

    def range(self, start: bytes, end: bytes | None, revision: int = 0) -> list[KeyVersion]:
        keys = sorted(key for key in self.keys if start <= key and (end is None or key < end))
        return [found for key in keys if (found := self.get(key, revision)) is not None]

    def history(self, first: int, last: int) -> list[Revision]:
        found = [change for change in self.log if first <= change.mod_revision <= last]
        return [Revision(main, list(changes)) for main, changes in groupby(found, attrgetter("mod_revision"))]

    def commit(self, *revisions: Changes, lease: int = 0) -> Commit:
        """A commit of one revision for each list of changes; apply it yourself."""
        return author(self.get, self.revision, *revisions, lease=lease)

    def check(self, engine: Engine, revisions: Sequence[int] | None = None) -> None:
        """Every way of reading the engine gives what the model has, at the newest and at the given revisions."""
        assert (engine.view.revision, engine.view.compacted) == (self.revision, self.compacted)
        assert engine.meta(b"") == self.meta
        assert engine.keys == len(self.range(b"", None))
        oldest = max(self.compacted, 1)
        if revisions is None:
            revisions = range(oldest, self.revision + 1)
        keys = sorted(self.keys)
        spans = [(b"", None), (keys[len(keys) // 3], keys[len(keys) * 2 // 3])] if keys else [(b"", None)]
        for revision in (0, *(r for r in revisions if r >= oldest)):
            for start, end in spans:
                want = self.range(start, end, revision)
                assert list(engine.view.versions(start, end, revision)) == want
                assert engine.view.count(start, end, revision) == len(want)
                for limit in (0, 2):
                    found = engine.view.select(start, end, revision, limit)
                    assert b"".join(found.parts) == b"".join(framed([version.kv for version in want[: limit or None]]))
                    assert found.total == len(want)
            for key in keys:
                assert engine.view.get(key, revision) == self.get(key, revision)
        assert list(engine.view.leased()) == [version for version in self.range(b"", None) if version.lease]
        assert list(engine.view.history(oldest, self.revision)) == self.history(oldest, self.revision)


def imported(key: bytes, value: bytes, create: int, mod: int, version: int) -> KeyVersion:
    """A version as a migration brings it along."""
    return KeyVersion(key, create, mod, version, 0, marshal_kv(key, create, mod, version, value, 0))


def write(engine: Engine, *commits: Commit) -> None:
    """Make commits durable with one write, and visible."""
    prepared = [engine.encode(commit) for commit in commits]
    engine.write(prepared)
    for commit, batch in zip(commits, prepared, strict=True):
        engine.publish(commit, batch)
