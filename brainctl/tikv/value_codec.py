"""What a version of a key, a block of the log and the head of the store look like as TiKV values."""

import struct
from collections.abc import Iterable
from typing import NamedTuple, Self

from brainctl.errors import StoreDamaged
from brainctl.etcdpb import kv_pb2
from brainctl.mvcc.keyversion import KeyVersion

NOWHERE = bytes(12)
"""The block of a version that is in no block: it was imported as part of a base copy."""

_HEADER = struct.Struct(">BQI12sQ12s")
_LENGTH = struct.Struct(">I")
_LIVE, _DEAD = 1, 2
OVERHEAD = _HEADER.size + _LENGTH.size
"""Bytes that a version takes up in a block beside its KeyValue."""


class Stored(NamedTuple):
    """A version of a key, live or a tombstone, and where the version before it is."""

    live: bool
    mod: int
    """Its mod_revision."""
    sub: int
    """Its place among the changes of that revision."""
    block: bytes
    """Position of the block of the log that holds it."""
    before: int
    """mod_revision of the version before, 0 when there is none or it is not kept."""
    before_block: bytes
    """Position of the block that holds the version before."""
    kv: bytes
    """The marshalled mvccpb.KeyValue."""

    def pack(self) -> bytes:
        """As a TiKV value; never empty."""
        flag = _LIVE if self.live else _DEAD
        return _HEADER.pack(flag, self.mod, self.sub, self.block, self.before, self.before_block) + self.kv

    @classmethod
    def unpack(cls, value: bytes) -> Self:
        """From a TiKV value; StoreDamaged."""
        if len(value) < _HEADER.size or value[0] not in (_LIVE, _DEAD):
            raise StoreDamaged(f"a version of {len(value)} bytes in TiKV is not one")
        flag, mod, sub, block, before, before_block = _HEADER.unpack_from(value)
        return cls(flag == _LIVE, mod, sub, block, before, before_block, value[_HEADER.size :])

    def version(self) -> KeyVersion:
        """As the rules see it."""
        return parse_version(self.kv, self.sub)

    @property
    def replaced_live(self) -> bool:
        """Whether the version before it was live: a deletion deletes something, a first version replaces nothing."""
        return not self.live or self.version().version > 1


def parse_version(kv: bytes, sub: int) -> KeyVersion:
    """The version that a marshalled KeyValue describes; one without a version is a tombstone."""
    message = kv_pb2.KeyValue.FromString(kv)
    return KeyVersion(
        message.key, message.create_revision, message.mod_revision, message.version, message.lease, kv, sub
    )


def pack_block(versions: Iterable[Stored]) -> bytes:
    """Changes of the log, in order, as one TiKV value."""
    parts = []
    for version in versions:
        packed = version.pack()
        parts += [_LENGTH.pack(len(packed)), packed]
    return b"".join(parts)


def unpack_block(value: bytes) -> list[Stored]:
    """The changes in a block of the log; StoreDamaged."""
    found = []
    at = 0
    while at < len(value):
        if at + _LENGTH.size > len(value):
            raise StoreDamaged("a block of the revision log in TiKV ends inside a length")
        (length,) = _LENGTH.unpack_from(value, at)
        at += _LENGTH.size
        if at + length > len(value):
            raise StoreDamaged("a block of the revision log in TiKV ends inside a change")
        found.append(Stored.unpack(value[at : at + length]))
        at += length
    return found


class Head(NamedTuple):
    """The one record that every commit of the writer reads, checks and rewrites."""

    revision: int = 1
    """The newest revision."""
    compacted: int = 0
    """The compacted revision: the oldest that can be read."""
    reclaimed: int = 0
    """The compacted revision whose garbage is gone; behind `compacted` while that is being reclaimed."""
    epoch: int = 0
    """Raised by each take-over; 0 before the first."""
    sequence: int = 0
    """Counts the commits of all epochs; with the epoch it identifies a commit."""
    expires: int = 0
    """Until when the writer keeps the lead without a new commit: milliseconds of TiKV's timestamp oracle."""
    records: int = 0
    """The sequence number of the last commit that changed a small record."""
    ahead: int = 0
    """The revision up to which a large commit under way writes beyond `revision`, 0 when none is."""

    def pack(self) -> bytes:
        """As a TiKV value. `ahead` takes part only when it is set, so that a program that does not know of it refuses
        to read a store with a large commit under way, and reads all others.
        """
        return _HEAD.pack(*self) if self.ahead else _SETTLED.pack(*self[:-1])

    @classmethod
    def unpack(cls, value: bytes | None) -> Self:
        """From a TiKV value, None being a store that was never written; StoreDamaged."""
        if value is None:
            return cls()
        if len(value) == _SETTLED.size:
            return cls(*_SETTLED.unpack(value))
        if len(value) != _HEAD.size:
            raise StoreDamaged(f"the head of the store in TiKV has {len(value)} bytes instead of {_HEAD.size}")
        return cls(*_HEAD.unpack(value))


_SETTLED = struct.Struct(">7Q")
_HEAD = struct.Struct(">8Q")
