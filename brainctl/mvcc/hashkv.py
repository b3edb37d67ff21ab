"""The hash of Maintenance.HashKV: CRC-32C over a history, equal to etcd's (etcd server/storage/mvcc/hash.go).

etcd hashes the name of its bucket, then each record's key and value in revision order. The key is
`<main, 8 bytes BE> "_" <sub, 8 bytes BE>` and a `t` behind it for a tombstone; the value is the marshalled KeyValue, of
which a tombstone has the key only. Two kinds of records are hashed: all above the compacted revision; and of those at
or below it the ones that are live at the revision asked for, or, when nothing at all is live there, the ones live at
the compaction.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from crc32c import crc32c

from brainctl.errors import COMPACTED, FUTURE_REVISION, ApiError
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.sorting import sort
from brainctl.mvcc.steps import Steps, cost, finish, gather, in_pieces, release
from brainctl.mvcc.view import View
from brainctl.wire.varint import varint

_PLACE = attrgetter("mod_revision", "sub")


class KvHash(NamedTuple):
    """A hash, and what it covers. Two hashes are comparable when both their revisions are equal."""

    hash: int
    compact_revision: int
    """-1 when there was no compaction."""
    revision: int


class Hasher:
    """Computes the hash piece by piece."""

    def __init__(self, compact_revision: int, revision: int) -> None:
        self._crc = crc32c(b"key")
        self._compact_revision = compact_revision if compact_revision > 0 else -1
        self._revision = revision

    def base(self, versions: list[KeyVersion]) -> Steps[None]:
        """Add, in steps, the live versions at or below the compacted revision: all in one call, in any order."""
        ordered = yield from sort(versions, _PLACE, reverse=False)
        for piece in in_pieces(ordered):
            self.changes(piece)
            yield len(piece)

    def changes(self, changes: Iterable[KeyVersion]) -> None:
        """Add changes above the compacted revision, in order."""
        for change in changes:
            self._add(change)

    def value(self) -> KvHash:
        """Return the hash of what was added."""
        return KvHash(self._crc, self._compact_revision, self._revision)

    def _add(self, version: KeyVersion) -> None:
        place = b"%b_%b" % (version.mod_revision.to_bytes(8), version.sub.to_bytes(8))
        if version.version:
            self._crc = crc32c(version.kv, crc32c(place, self._crc))
        else:
            self._crc = crc32c(b"\n%b%b" % (varint(len(version.key)), version.key), crc32c(place + b"t", self._crc))


def hashed_revision(requested: int, current: int, compacted: int) -> int:
    """Return the revision that a request means; 0 and less mean the newest.

    Raises:
        ApiError: It is compacted or in the future.
    """
    if requested <= 0:
        return current
    if requested < compacted:
        raise ApiError(COMPACTED)
    if requested > current:
        raise ApiError(FUTURE_REVISION)
    return requested


def hash_steps(view: View, revision: int = 0) -> Steps[KvHash]:
    """Return, in steps, the hash of a view's history up to `revision`, 0 for the newest.

    Raises:
        ApiError: The revision is compacted or in the future.
    """
    revision = hashed_revision(revision, view.revision, view.compacted)
    compacted = view.compacted
    hasher = Hasher(compacted, revision)
    if compacted > 0:
        live = yield from gather(view.stretches(b"", None, revision))
        if not live:
            live = yield from gather(view.stretches(b"", None, compacted))
        below = [version for version in live if version.mod_revision <= compacted]
        yield from hasher.base(below)
        yield from release(below)
        yield from release(live)
    for piece in view.history_pieces(max(compacted, 0) + 1, revision):
        hasher.changes(piece)
        yield cost(piece)
    return hasher.value()


def hash_kv(view: View, revision: int = 0) -> KvHash:
    """Do all of `hash_steps` at once, and return the hash."""
    return finish(hash_steps(view, revision))
