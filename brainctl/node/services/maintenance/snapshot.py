"""Maintenance.Snapshot: the store as a database file of etcd, from which a real etcd can be restored.

The file has etcd's buckets (etcd server/storage/schema): every revision that is not compacted with what was live at
the compaction, leases, users and roles, and the few records of meta without which etcd does not start. It is written
to an unnamed temporary file first, because the head of a bbolt file is known last, and then sent in order.

Example: put a, put b, put a, delete b (revisions 2 to 5), compacted at 3. The bucket "key" has

    2_0   a, version 1      live at the compaction
    3_0   b, version 1      the compacted revision itself
    4_0   a, version 2
    5_0t  b                 a deletion: the key only, the name ends with t

where 2_0 is 8 bytes of the revision, "_", and 8 bytes of the place in it, big endian.
"""

import asyncio
import errno
import hashlib
import logging
from array import array
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from tempfile import TemporaryFile, gettempdir
from typing import IO, Final

from brainctl.errors import ApiError, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.log import Fact
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.lessor import LEASES, decode_ttl, lease_id
from brainctl.mvcc.permission import ROLES, USERS, auth_state
from brainctl.mvcc.sorting import sort
from brainctl.mvcc.steps import Steps, cost, finish
from brainctl.mvcc.view import AsyncView, View
from brainctl.node.backend import Backend
from brainctl.node.services.maintenance.snapshot_room import GIVEN_UP, SnapshotRoom, no_room
from brainctl.node.slices import in_slices
from brainctl.wire.bbolt import PAGE_SIZE, Items, Writer
from brainctl.wire.varint import varint

_log = logging.getLogger(__name__)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The errors of a disk without room: none left, the quota of the user, the limit of a file."""
STORAGE_VERSION = "3.7.0"
"""The schema version of the file: that of etcd 3.7."""
CHUNK = 32 << 10
"""Bytes of the file in one response, as etcd sends them."""
_DIGEST_BYTES = 1 << 20
"""Bytes that are hashed at a time."""
ATTEMPTS = 3
"""Number of times that a snapshot is begun before it fails, when a compaction overtakes it each time."""
_OVERTAKEN = Status(Code.UNAVAILABLE, "brainctl: compactions overtook the snapshot; try again")


async def snapshot(backend: Backend, room: SnapshotRoom) -> AsyncIterator[bytes]:
    """Yield the marshalled SnapshotResponses: the file in chunks, then its SHA-256.

    Raises:
        ApiError: Compactions overtook every attempt, `room` admits no more, the client read too slowly while others
            waited, or the disk for temporary files is full.
    """
    with TemporaryFile() as file:
        opened = room.enter(file, backend.size_in_use)
        try:
            digest = await _built(backend, file, room)
            total = file.seek(0, 2)
            file.seek(0)
            room.sending(opened)
            while opened.sent < total:
                if opened.given_up:
                    raise ApiError(GIVEN_UP)
                blob = file.read(CHUNK)
                opened.sent += len(blob)
                left = total - opened.sent
                yield pb.SnapshotResponse(remaining_bytes=left, blob=blob, version=STORAGE_VERSION).SerializeToString()
                await asyncio.sleep(0)
        finally:
            room.leave(opened)
    yield pb.SnapshotResponse(blob=digest, version=STORAGE_VERSION).SerializeToString()


async def _built(backend: Backend, file: IO[bytes], room: SnapshotRoom) -> bytes:
    """Write the file as `_build` does, and translate the errors of a full disk.

    Raises:
        ApiError: As `_build`, or RESOURCE_EXHAUSTED when the disk for temporary files is full.
    """
    try:
        return await _build(backend, file, room)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        room.refused += 1
        _log.warning(Fact("a snapshot is ended: the disk for temporary files is full", error=error))
        raise ApiError(no_room(gettempdir(), 2 * backend.size_in_use)) from error


async def _build(backend: Backend, file: IO[bytes], room: SnapshotRoom) -> bytes:
    """Write the file, and return its SHA-256.

    Raises:
        ApiError: Compactions overtook every attempt.
    """
    for _ in range(ATTEMPTS):
        compacted, revision = backend.compacted, backend.revision
        with TemporaryFile() as spool:
            rows, view = _Rows(spool), backend.view
            if view.remote:
                await _gather_remote(rows, view, compacted, revision)
                if backend.compacted != compacted:
                    continue
            else:
                await in_slices(backend, _gather(rows, view, compacted, revision))
            buckets = _buckets(backend, rows, compacted, revision)
            return await asyncio.get_running_loop().run_in_executor(room.threads, _write, file, buckets)
    raise ApiError(_OVERTAKEN)


class _Rows:
    """The rows of the bucket of keys, in a file; only their places and revisions are in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at = array("Q", [0])
        """The offset in the file at which each row begins, and the end of the last one."""
        self._revisions = array("Q")
        self._subs = array("I")
        self._deletes = bytearray()
        self._order: list[int] = []
        """The first rows, sorted by revision; the rows after them are in order already."""

    def add(self, version: KeyVersion) -> None:
        """Append a row."""
        value = _row_value(version)
        self._file.write(value)
        self._at.append(self._at[-1] + len(value))
        self._revisions.append(version.mod_revision)
        self._subs.append(version.sub)
        self._deletes.append(not version.version)

    def sort(self) -> Steps[None]:
        """Sort the present rows by revision; rows added later must have higher revisions."""
        rows = list(range(len(self._subs)))
        self._order = yield from sort(rows, lambda row: (self._revisions[row], self._subs[row]), reverse=False)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values of the bucket, in order."""
        for row in chain(self._order, range(len(self._order), len(self._subs))):
            self._file.seek(self._at[row])
            place = _place(self._revisions[row], self._subs[row])
            yield place + b"t" * self._deletes[row], self._file.read(self._at[row + 1] - self._at[row])


def _gather(rows: _Rows, view: View, compacted: int, revision: int) -> Steps[None]:
    """Add the rows that etcd would hold, in the order of revisions."""
    if compacted > 0:
        for stretch in view.stretches(b"", None, compacted):
            for version in stretch:
                if version.mod_revision < compacted:
                    rows.add(version)
            yield cost(stretch)
        yield from rows.sort()
    for piece in view.history_pieces(max(compacted, 1), revision):
        for version in piece:
            rows.add(version)
        yield cost(piece)


async def _gather_remote(rows: _Rows, view: AsyncView, compacted: int, revision: int) -> None:
    """Add the rows that etcd would hold, in the order of revisions, from a view over a network."""
    if compacted > 0:
        async for version in view.versions(b"", None, compacted):
            if version.mod_revision < compacted:
                rows.add(version)
        finish(rows.sort())
    async for group in view.history(max(compacted, 1), revision):
        for version in group.changes:
            rows.add(version)


def _buckets(backend: Backend, rows: _Rows, compacted: int, revision: int) -> dict[bytes, Items]:
    """Return the rows of each bucket of the file, by name."""
    member = backend.header.member_id
    compaction = _place(max(compacted, 0), 0)
    meta = {
        b"confState": b'{"voters":[%d],"auto_leave":false}' % member,
        b"consistent_index": revision.to_bytes(8),
        b"storageVersion": STORAGE_VERSION.encode(),
        b"term": backend.header.raft_term.to_bytes(8),
    }
    if compacted > 0:
        meta |= {b"finishedCompactRev": compaction, b"scheduledCompactRev": compaction}
    auth = auth_state(backend.record)
    leases = {
        (lease & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8): b"\x08%b\x10%b" % (varint(lease), varint(decode_ttl(record)))
        for lease, record in ((lease_id(name), record) for name, record in backend.records(LEASES).items())
    }
    return {
        b"alarm": (),
        b"auth": [(b"authEnabled", bytes([auth.enabled])), (b"authRevision", auth.revision.to_bytes(8))],
        b"authRoles": _named(backend, ROLES),
        b"authUsers": _named(backend, USERS),
        b"cluster": [(b"clusterVersion", STORAGE_VERSION.encode())],
        b"key": rows.items(),
        b"lease": sorted(leases.items()),
        b"members": [(b"%x" % member, b'{"id":%d,"peerURLs":[],"name":"default"}' % member)],
        b"members_removed": (),
        b"meta": sorted(meta.items()),
    }


def _named(backend: Backend, prefix: bytes) -> Items:
    """Return the small records of one kind by the rest of their names: etcd keeps each kind in a bucket."""
    return sorted((name.removeprefix(prefix), record) for name, record in backend.records(prefix).items())


def _place(main: int, sub: int) -> bytes:
    """Return the name of a row: revision and place in it, as etcd writes them."""
    return b"%b_%b" % (main.to_bytes(8), sub.to_bytes(8))


def _row_value(version: KeyVersion) -> bytes:
    """Return the value of a row; etcd's record of a deletion holds only the key."""
    return version.kv if version.version else b"\n%b%b" % (varint(len(version.key)), version.key)


def _write(file: IO[bytes], buckets: dict[bytes, Items]) -> bytes:
    """Fill the file with the buckets, and return its SHA-256."""
    file.seek(2 * PAGE_SIZE)
    file.truncate()
    writer = Writer(file.write)
    for name in sorted(buckets):
        writer.bucket(name, buckets[name])
    head = writer.finish()
    file.seek(0)
    file.write(head)
    file.flush()
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_DIGEST_BYTES):
        digest.update(piece)
    return digest.digest()
