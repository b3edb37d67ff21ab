"""A database file of etcd: the `db` of a data directory, or a snapshot, which ends with its SHA-256."""

import fcntl
import hashlib
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from crc32c import crc32c
from google.protobuf.message import DecodeError

from brainctl.errors import COMPACTED, FUTURE_REVISION, ApiError, SnapshotDamaged, StoreInUse
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.hashkv import KvHash
from brainctl.mvcc.permission import AuthState
from brainctl.wire.bbolt import Reader

_DIGEST_BYTES = 32
_SECTOR = 512
"""Bytes of a sector. The database is whole sectors, so what remains at the end is the digest."""
_PLACE_BYTES = 17
"""Bytes of the key of a put: revision, "_", sub-revision."""
_TOMBSTONE_BYTES = 18
"""Bytes of the key of a deletion: one more, the "t"."""
_PIECE = 1 << 20
"""Bytes that are hashed at a time."""


class Row(NamedTuple):
    """A change of a key."""

    place: bytes
    """The key of the record: revision (8 bytes, big endian), "_", sub-revision, and "t" for a deletion."""
    value: bytes
    """The marshalled KeyValue; for a deletion it has the key alone."""

    @property
    def revision(self) -> int:
        """Return the revision of the change."""
        return int.from_bytes(self.place[:8])

    @property
    def sub(self) -> int:
        """Return the place of the change among those of its revision."""
        return int.from_bytes(self.place[9:_PLACE_BYTES])

    @property
    def is_tombstone(self) -> bool:
        """Return whether the key was deleted."""
        return len(self.place) == _TOMBSTONE_BYTES

    @property
    def kv(self) -> kv_pb2.KeyValue:
        """Return the parsed record.

        Raises:
            StoreDamaged: It is no KeyValue.
        """
        try:
            return kv_pb2.KeyValue.FromString(self.value)
        except DecodeError as error:
            raise SnapshotDamaged(f"the record of revision {self.revision} is no KeyValue") from error


class Status(NamedTuple):
    """The figures that `etcdutl snapshot status` shows for a file."""

    hash: int
    """CRC-32C over all buckets: their names, keys and values in order."""
    revision: int
    keys: int
    size: int
    version: str
    """The version of the schema; empty before etcd 3.6."""


class Database:
    """The records of etcd in a bbolt file."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        """Open the database in `data`, the whole file.

        Raises:
            StoreDamaged: It is no bbolt file.
        """
        self._data = memoryview(data)
        self._reader = Reader(self._data)

    def rows(self) -> Iterator[Row]:
        """Yield all changes that are kept, in order.

        Raises:
            StoreDamaged: A record has no revision for a key.
        """
        for place, value in self._reader.items(b"key"):
            if len(place) not in (_PLACE_BYTES, _TOMBSTONE_BYTES):
                raise SnapshotDamaged(f"{place!r} is no revision")
            yield Row(place, value)

    @property
    def compacted(self) -> int:
        """Return the compacted revision, also when the compaction is not carried out yet; 0 when there was none."""
        meta = dict(self._reader.items(b"meta"))
        marks = (meta.get(name, b"") for name in (b"finishedCompactRev", b"scheduledCompactRev"))
        return max(int.from_bytes(mark[:8]) for mark in marks)

    def leases(self) -> Iterator[tuple[int, int]]:
        """Yield id and granted TTL (seconds) of each lease."""
        for _, value in self._reader.items(b"lease"):
            record = pb.LeaseCheckpoint.FromString(value)  # etcd's lease record has the same two fields and numbers
            yield record.ID, record.remaining_TTL

    def users(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield names, and marshalled authpb.User."""
        return self._reader.items(b"authUsers")

    def roles(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield names, and marshalled authpb.Role."""
        return self._reader.items(b"authRoles")

    def auth(self) -> AuthState:
        """Return whether authentication is on, and its revision."""
        records = dict(self._reader.items(b"auth"))
        revision = int.from_bytes(records.get(b"authRevision", b""))
        return AuthState(records.get(b"authEnabled") == b"\1", revision or AuthState().revision)

    def number(self) -> int:
        """Return a number of 63 bits that no other state of this or another cluster is likely to have."""
        digest = hashlib.blake2b(digest_size=8)
        for name in (b"meta", b"members", b"members_removed", b"cluster"):
            for key, value in self._reader.items(name):
                digest.update(b"%d %d " % (len(key), len(value)) + key + value)
        for row in self.rows():
            digest.update(row.place)
        return int.from_bytes(digest.digest()) >> 1

    def status(self) -> Status:
        """Read everything, and return the figures.

        Raises:
            StoreDamaged: The file is inconsistent.
        """
        crc = 0
        revision = 0
        for name in self._reader.buckets:
            crc = crc32c(name, crc)
            for key, value in self._reader.items(name):
                crc = crc32c(value, crc32c(key, crc))
        live: set[bytes] = set()
        for row in self.rows():
            revision = row.revision
            (live.discard if row.is_tombstone else live.add)(row.kv.key)
        version = dict(self._reader.items(b"meta")).get(b"storageVersion", b"")
        return Status(crc, revision, len(live), self._reader.size, version.decode())

    def hash_kv(self, revision: int = 0) -> KvHash:
        """Return the hash that Maintenance.HashKV returns at `revision`, 0 for the newest.

        Raises:
            ApiError: The revision is compacted or in the future.
            StoreDamaged: The file is inconsistent.
        """
        compacted = self.compacted
        rows = list(self.rows())
        current = max([1, compacted, *(row.revision for row in rows[-1:])])
        if 0 < revision < compacted:
            raise ApiError(COMPACTED)
        if revision > current:
            raise ApiError(FUTURE_REVISION)
        revision = revision if revision > 0 else current
        rows = [row for row in rows if row.revision <= revision]
        kept = {row.place for row in newest(rows).values()}
        crc = crc32c(b"key")
        for row in rows:
            is_dropped = row.revision <= compacted and bool(kept) and row.place not in kept
            if not is_dropped and not (row.revision == compacted and row.is_tombstone):
                crc = crc32c(row.value, crc32c(row.place, crc))
        return KvHash(crc, compacted or -1, revision)

    def digests(self, hashed: Callable[[int, int], None] = lambda _done, _total: None) -> tuple[bytes, bytes] | None:
        """Return the SHA-256 at the end of the file, and the computed one; None when the file does not have one.

        `hashed` takes how many bytes are hashed, and of how many.
        """
        if len(self._data) % _SECTOR != _DIGEST_BYTES:
            return None
        end = len(self._data) - _DIGEST_BYTES
        digest = hashlib.sha256()
        for at in range(0, end, _PIECE):
            digest.update(self._data[at : min(at + _PIECE, end)])
            hashed(min(at + _PIECE, end), end)
        return bytes(self._data[end:]), digest.digest()


def newest(rows: list[Row]) -> dict[bytes, Row]:
    """Return the last row of each key that is alive after these rows, which are in order."""
    live: dict[bytes, Row] = {}
    for row in rows:
        if row.is_tombstone:
            live.pop(row.kv.key, None)
        else:
            live[row.kv.key] = row
    return live


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the name of the file at `path` before the text of any damage that is found in it."""
    try:
        yield
    except SnapshotDamaged as error:
        if error.path:
            raise
        raise SnapshotDamaged(f"{path}: {error}", str(path)) from error


def open_database(path: Path) -> Database:
    """Open the file at `path`, mapped into memory and only read.

    A shared lock keeps an etcd from writing into the pages that are read. It lasts as long as the mapping, which has a
    descriptor of its own for the same open file.

    Raises:
        StoreInUse: An etcd has it open.
        StoreDamaged: It is empty, or no bbolt file.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUse(f"{path} is in use by another process: save a snapshot, and read that") from None
        if not file.seek(0, 2):
            raise SnapshotDamaged(f"{path} is empty", str(path))
        return Database(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
