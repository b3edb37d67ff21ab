"""Encode and decode the TiKV values of a store: a version of a key, a block of the log, the head.

All integers are unsigned and big endian (docs/formats/tikv-keys.md).
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple, Self

from brainctl.etcdpb import kv_pb2
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.tikv.errors import ClusterDamaged

NOWHERE = bytes(12)
"""The position of a version that is in no block: it was imported as part of a base copy, or there is no version."""

_HEADER = struct.Struct(">BQI12sQ12s")
_LENGTH = struct.Struct(">I")
_LIVE, _DEAD = 1, 2
OVERHEAD = _HEADER.size + _LENGTH.size
"""Bytes that a version takes up in a block beside its KeyValue: 45 of its header and 4 of its length."""


class Stored(NamedTuple):
    """A version of a key, live or a tombstone, and where the version before it is."""

    live: bool
    mod: int
    """Mod revision of the version."""
    sub: int
    """Sub-revision: the place among the changes of that revision."""
    block: bytes
    """Position of the block of the log that holds it."""
    before: int
    """mod_revision of the version before it, 0 when there is none or it is not kept."""
    before_block: bytes
    """Position of the block that holds the version before it."""
    kv: bytes
    """The marshalled mvccpb.KeyValue."""

    def pack(self) -> bytes:
        """Return the version as a TiKV value: a header of 45 bytes and the KeyValue. It is never empty."""
        flag = _LIVE if self.live else _DEAD
        return _HEADER.pack(flag, self.mod, self.sub, self.block, self.before, self.before_block) + self.kv

    @classmethod
    def unpack(cls, value: bytes) -> Self:
        """Read a version from a TiKV value.

        Raises:
            StoreDamaged: the value is shorter than its header, or is neither live nor a tombstone.
        """
        if len(value) < _HEADER.size or value[0] not in (_LIVE, _DEAD):
            raise ClusterDamaged(f"a version of {len(value)} bytes in TiKV is not one")
        flag, mod, sub, block, before, before_block = _HEADER.unpack_from(value)
        return cls(flag == _LIVE, mod, sub, block, before, before_block, value[_HEADER.size :])

    @staticmethod
    def kv_of(value: bytes) -> bytes:
        """Return the KeyValue of a version alone, which takes a tenth of the time of `unpack`; raises as that does."""
        if len(value) < _HEADER.size or value[0] not in (_LIVE, _DEAD):
            raise ClusterDamaged(f"a version of {len(value)} bytes in TiKV is not one")
        return value[_HEADER.size :]

    def version(self) -> KeyVersion:
        """Return the version as a `KeyVersion`, which the rules of MVCC work on."""
        return parse_version(self.kv, self.sub)

    @property
    def replaced_live(self) -> bool:
        """Return whether the version that this one replaced was live.

        That is so for every deletion, which deletes something, and for a live version that is not the first of its key.
        """
        return not self.live or self.version().version > 1


def parse_version(kv: bytes, sub: int) -> KeyVersion:
    """Return the version that a marshalled KeyValue describes; one without a version number is a tombstone."""
    message = kv_pb2.KeyValue.FromString(kv)
    return KeyVersion(
        message.key, message.create_revision, message.mod_revision, message.version, message.lease, kv, sub
    )


def pack_block(versions: Iterable[Stored]) -> bytes:
    """Return changes of the log, in order, as one TiKV value: before each its length in 4 bytes."""
    parts = []
    for version in versions:
        packed = version.pack()
        parts += [_LENGTH.pack(len(packed)), packed]
    return b"".join(parts)


def unpack_block(value: bytes) -> list[Stored]:
    """Return the changes in a block of the log.

    Raises:
        StoreDamaged: the block ends inside a change, or holds something that is no version.
    """
    found = []
    at = 0
    while at < len(value):
        if at + _LENGTH.size > len(value):
            raise ClusterDamaged("a block of the revision log in TiKV ends inside a length")
        (length,) = _LENGTH.unpack_from(value, at)
        at += _LENGTH.size
        if at + length > len(value):
            raise ClusterDamaged("a block of the revision log in TiKV ends inside a change")
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
    """The compacted revision whose garbage is gone; it is behind `compacted` while that is being reclaimed."""
    epoch: int = 0
    """The number of take-overs so far; 0 before the first."""
    sequence: int = 0
    """The number of commits in all epochs; with the epoch it identifies a commit."""
    expires: int = 0
    """Time until which the writer keeps the lead without a commit, in milliseconds of TiKV's timestamps; 0 when
    it has released the lead.
    """
    records: int = 0
    """The sequence number of the last commit that changed a small record."""
    ahead: int = 0
    """The revision up to which a large commit under way writes beyond `revision`; 0 when there is none."""

    def pack(self) -> bytes:
        """Return the head as a TiKV value: 56 bytes, or 64 with `ahead`.

        `ahead` is included only when it is set. So a program that does not know it refuses to read a store with a large
        commit under way, and reads all others.
        """
        return _HEAD.pack(*self) if self.ahead else _SETTLED.pack(*self[:-1])

    @classmethod
    def unpack(cls, value: bytes | None) -> Self:
        """Read a head from a TiKV value, where None stands for a store that was never written.

        Raises:
            StoreDamaged: the value is neither 56 nor 64 bytes long.
        """
        if value is None:
            return cls()
        if len(value) == _SETTLED.size:
            return cls(*_SETTLED.unpack(value))
        if len(value) != _HEAD.size:
            raise ClusterDamaged(f"the head of the store in TiKV has {len(value)} bytes instead of {_HEAD.size}")
        return cls(*_HEAD.unpack(value))


_SETTLED = struct.Struct(">7Q")
_HEAD = struct.Struct(">8Q")
