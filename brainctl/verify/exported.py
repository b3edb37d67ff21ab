"""A list of keys in a file, without their values, that stands for a store (docs/formats/key-list.md).

Lines of JSON: one that describes the list, one for each key in key order, one for each lease, and one that ends it with
the state hash of all keys. The file is read once when it is opened, to check it; every some hundredth key is kept with
its place.
"""

from base64 import b64decode, b64encode
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from brainctl.errors import InvalidInput, SnapshotDamaged
from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.mvcc.state_hash import leaf, range_hash
from brainctl.stores.auth import AuthReader
from brainctl.verify.diff import Page
from brainctl.verify.range_hashes import Leaves, PageHashes
from brainctl.verify.scope import Scope
from brainctl.verify.seen import value_digest
from brainctl.verify.side import Side, SideKind

FORMAT = "brainctl keys"
VERSION = 1
MARK = b'{"format":"brainctl keys"'
"""The first bytes of a list."""
_EVERY = 256
"""Number of keys of which one is kept in memory with its place in the file."""
_PAGE_KEYS = 1024


class Written(NamedTuple):
    """Content of a list."""

    revision: int
    keys: int
    leases: int
    hash: bytes


async def export(side: Side, scope: Scope, file: BinaryIO) -> Written:
    """Write the list of a store at its newest revision."""
    revision = await side.revision()
    total, count = range_hash(), 0
    head = {
        "format": FORMAT,
        "version": VERSION,
        "revision": str(revision),
        "prefix": _text(scope.prefix),
        "exclude": [_text(one) for one in scope.exclude],
    }
    file.write(orjson.dumps(head) + b"\n")
    for start, end in scope.ranges():
        place, more = start, True
        while more:
            page = await side.page(place, end, revision)
            leaves = [leaf(kv).digest() for kv in page.kvs]
            file.writelines(map(_line, page.kvs, leaves))
            total.update(b"".join(leaves))
            count += len(leaves)
            place, more = page.next, page.next != end
    leases = await side.leases() if scope.whole else {}
    file.writelines(orjson.dumps({"lease": str(lease), "ttl": ttl}) + b"\n" for lease, ttl in sorted(leases.items()))
    written = Written(revision, count, len(leases), total.digest())
    file.write(orjson.dumps({"keys": count, "leases": len(leases), "hash": written.hash.hex()}) + b"\n")
    return written


class KeyList:
    """A list as one side of a comparison. Values in it are their hashes."""

    def __init__(self, path: Path, scope: Scope) -> None:
        """Open the list at `path`, and check all of it.

        Raises:
            SnapshotDamaged: It is not as it was written.
            InvalidInput: It is of another part of a store than `scope`, or of a later version.
            OSError: It cannot be read.
        """
        self.read_bytes = 0
        self.kind = SideKind(stands=True, digested=True)
        self._path = path
        self._keys: list[bytes] = []
        self._places: list[int] = []
        self._leases: dict[int, int] = {}
        self._end = 0
        """The place behind the keys."""
        try:
            with path.open("rb") as file:
                self._check(file, scope)
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotDamaged(f"{path} is no whole list of keys: {error}") from error

    async def revision(self) -> int:
        """See `Side.revision`."""
        return self._revision

    async def page(self, start: bytes, end: bytes, revision: int) -> Page:
        """See `Side.page`."""
        rows, following = self._rows(start, end, revision)
        kvs = [row.kv for row in rows]
        self.read_bytes += sum(row.size for row in rows)
        return Page([row.key for row in rows], kvs, following)

    async def leaves(self, start: bytes, end: bytes, revision: int) -> Leaves:
        """See `Side.leaves`."""
        rows, following = self._rows(start, end, revision)
        return Leaves([row.key for row in rows], [row.leaf for row in rows], [row.size for row in rows], following)

    async def key(self, key: bytes, revision: int) -> bytes | None:
        """See `Side.key`."""
        page = await self.page(key, key + b"\0", revision)
        return page.kvs[0] if page.kvs else None

    async def leases(self) -> dict[int, int]:
        """See `Side.leases`."""
        return self._leases

    async def hashes(self) -> PageHashes:
        """See `Side.hashes`."""
        return PageHashes(self.leaves)

    def accounts(self) -> AuthReader | None:
        """See `Side.accounts`: a list has no users and roles."""
        return None

    async def close(self) -> None:
        """See `Side.close`: the file is open only while it is read."""

    def _rows(self, start: bytes, end: bytes, revision: int) -> tuple[list["_Row"], bytes]:
        """Return the first rows of a range, and the end up to which they cover it.

        Raises:
            InvalidInput: It is to be read at another revision.
        """
        if revision != self._revision:
            raise InvalidInput(
                f"{self._path} lists the keys at revision {self._revision}, and the other side has not gone beyond "
                f"revision {revision}"
            )
        rows: list[_Row] = []
        for row in self._from(start):
            if end and row.key >= end:
                break
            if len(rows) == _PAGE_KEYS:
                return rows, rows[-1].key + b"\0"
            rows.append(row)
        return rows, end

    def _from(self, start: bytes) -> Iterator["_Row"]:
        """Yield the rows from a key on."""
        at = bisect_right(self._keys, start) - 1
        with self._path.open("rb") as file:
            file.seek(self._places[max(at, 0)] if self._places else self._end)
            while file.tell() < self._end:
                row = _Row.of(file.readline())
                if row.key >= start:
                    yield row

    def _check(self, file: BinaryIO, scope: Scope) -> None:
        """Read all lines, and keep the places of some keys."""
        head = orjson.loads(file.readline())
        if head["format"] != FORMAT or head["version"] != VERSION:
            raise InvalidInput(f"{self._path} is of version {head['version']}, and this build reads version {VERSION}")
        self._revision = int(head["revision"])
        of = Scope(b64decode(head["prefix"]), tuple(map(b64decode, head["exclude"])))
        if (of.prefix, of.exclude) != (scope.prefix, scope.exclude):
            raise InvalidInput(f"{self._path} lists the keys of {_flags(of)}: compare the same keys")
        total, count, last = range_hash(), 0, b""
        while True:
            place = file.tell()
            line = file.readline()
            if not line.startswith(b'{"key"'):
                break
            row = _Row.of(line)
            if row.key <= last:
                raise ValueError(f"the keys at {place} are not in order")
            if count % _EVERY == 0:
                self._keys.append(row.key)
                self._places.append(place)
            last, count = row.key, count + 1
            total.update(row.leaf)
        self._end = place
        while line.startswith(b'{"lease"'):
            lease = orjson.loads(line)
            self._leases[int(lease["lease"])] = lease["ttl"]
            line = file.readline()
        tail = orjson.loads(line)
        if (tail["keys"], tail["leases"], tail["hash"]) != (count, len(self._leases), total.hexdigest()):
            raise ValueError("its last line does not fit what is before it")


class _Row(NamedTuple):
    """A key of a list."""

    key: bytes
    kv: bytes
    """The marshalled KeyValue with the hash of its value instead of the value."""
    leaf: bytes
    size: int

    @classmethod
    def of(cls, line: bytes) -> "_Row":
        """Read a line."""
        row = orjson.loads(line)
        key = b64decode(row["key"])
        kv = kvpb.KeyValue(
            key=key,
            create_revision=int(row["create_revision"]),
            mod_revision=int(row["mod_revision"]),
            version=int(row["version"]),
            lease=int(row["lease"]),
            value=bytes.fromhex(row["value"]),
        )
        return cls(key, kv.SerializeToString(), bytes.fromhex(row["leaf"]), row["bytes"])


def _line(marshalled: bytes, of: bytes) -> bytes:
    kv = kvpb.KeyValue.FromString(marshalled)
    row = {
        "key": _text(kv.key),
        "create_revision": str(kv.create_revision),
        "mod_revision": str(kv.mod_revision),
        "version": str(kv.version),
        "lease": str(kv.lease),
        "bytes": len(marshalled),
        "value": value_digest(kv.value).hex(),
        "leaf": of.hex(),
    }
    return orjson.dumps(row) + b"\n"


def _text(key: bytes) -> str:
    return b64encode(key).decode()


def _flags(scope: Scope) -> str:
    flags = [f"--prefix {_shown(scope.prefix)}"] if scope.prefix else []
    return " ".join([*flags, *(f"--exclude {_shown(one)}" for one in scope.exclude)]) or "the whole store"


def _shown(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
