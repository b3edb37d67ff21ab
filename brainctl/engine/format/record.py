"""The bytes of one record: one version of a key, or one change of a small record (docs/formats/log-record.md).

Little-endian. A record ends in the CRC-32C of everything before it, so the CRC-32C of a whole record is RESIDUE.
It carries its own address, so that a record in the wrong place is recognised as such even though its bytes are sound.
"""

from collections.abc import Callable
from mmap import mmap
from struct import Struct
from typing import NamedTuple, Protocol, TypeVar

from crc32c import crc32c

from brainctl.mvcc.keyversion import KeyVersion

_HEADER = Struct("<IIQQQqQIIB3x")
HEADER_SIZE = _HEADER.size
KIND = HEADER_SIZE - 4
"""Offset of the kind in a record, with three zeros behind it."""
OVERHEAD = HEADER_SIZE + 4
"""Bytes of a record beside its KeyValue: the header before it and the CRC behind it."""
RESIDUE = crc32c(bytes(4))
"""CRC-32C of any bytes followed by their own CRC-32C, little-endian.

So a record is checked with one call, without cutting its CRC off.
"""

F_co = TypeVar("F_co", covariant=True)


class Read(Protocol[F_co]):
    """Reads some fields of the record at an offset. It is the method of a Struct, so it costs no Python call."""

    def __call__(self, record: bytes | mmap, at: int = 0, /) -> F_co:
        """Return the fields. They are not checked."""


header_bytes: Callable[[int, int, int, int, int, int, int, int, int, int], bytes] = _HEADER.pack
"""Marshals the fields of a RecordHeader, in their order."""
crc_bytes: Callable[[int], bytes] = Struct("<I").pack
"""Marshals a CRC-32C."""

# Parts of the header, for loops over records and for point reads: each takes what it needs with one call. Two fields
# take 0.06 us where all ten take 0.13, and a RecordHeader of them 0.35.
read_place: Read[tuple[int, int]] = Struct("<II").unpack_from
"""Reads length, address."""
_read_key_and_kind: Read[tuple[int, int]] = Struct("<52xIB").unpack_from
"""Reads key_length, kind."""
read_revision_and_kind: Read[tuple[int, int]] = Struct("<8xQ40xB").unpack_from
"""Reads mod_revision, kind."""
read_length_and_lease: Read[tuple[int, int]] = Struct("<I28xq").unpack_from
"""Reads length, lease."""
read_version: Read[tuple[int, int, int, int, int]] = Struct("<8xQQQq8xI").unpack_from
"""Reads mod_revision, create_revision, version, lease, sub: a KeyVersion beside the key and its KeyValue."""
read_ancestry: Read[tuple[int, int, int]] = Struct("<8xQ8xQ8xQ").unpack_from
"""Reads mod_revision, version, previous: what leads to older versions of a key."""
read_indexed: Read[tuple[int, int, int, int, int, int, int]] = Struct("<I4xQ8xQqQ4xIB").unpack_from
"""Reads length, mod_revision, version, lease, previous, key_length, kind: what the index is built from."""
read_named: Read[tuple[int, int, int, int]] = Struct("<I4xQ36xIB").unpack_from
"""Reads length, mod_revision, key_length, kind: of small records, and of the first record of an extent."""

PUT, TOMBSTONE, IMPORTED, META_SET, META_REMOVE = range(5)
"""Kinds of record. IMPORTED is a PUT that a migration copied: it has no place in the history."""


class RecordHeader(NamedTuple):
    """The header of a record."""

    length: int
    """Bytes of the whole record."""
    address: int
    """The offset at which the record was first written."""
    mod_revision: int
    create_revision: int
    version: int
    """0 in a tombstone."""
    lease: int
    previous: int
    """The address of the version before this one, with its segment; 0 for none."""
    sub: int
    """The place of the change among those of its revision."""
    key_length: int
    """Bytes of the key; in a small record, of its name."""
    kind: int


def header_of(record: bytes | mmap, at: int = 0) -> RecordHeader:
    """Return the header of the record at an offset of `record`. It is not checked."""
    # tuple.__new__ takes 0.34 us, RecordHeader._make 0.45.
    return tuple.__new__(RecordHeader, _HEADER.unpack_from(record, at))


def key_offset(length: int) -> int:
    """Return where the key begins in a marshalled KeyValue whose first field is a key of `length` bytes.

    That is behind the tag and the varint of the length.
    """
    if length < 1 << 7:
        return 2
    return 3 if length < 1 << 14 else 4 if length < 1 << 21 else 5 if length < 1 << 28 else 6


def key_of(record: bytes) -> bytes:
    """Return the key of a version; of a small record, its name."""
    length, kind = _read_key_and_kind(record)
    at = HEADER_SIZE if kind >= META_SET else HEADER_SIZE + key_offset(length)
    return record[at : at + length]


def version_of(record: bytes) -> KeyVersion:
    """Return the version that a record holds; it is of one of the first three kinds."""
    _n, _at, mod, create, version, lease, _previous, sub, length, _kind = _HEADER.unpack_from(record)
    at = HEADER_SIZE + key_offset(length)
    return KeyVersion(record[at : at + length], create, mod, version, lease, record[HEADER_SIZE:-4], sub)


def small_value(record: bytes) -> bytes:
    """Return the value of a small record."""
    return record[HEADER_SIZE + _read_key_and_kind(record)[0] : -4]


def small_record(name: bytes, value: bytes | None, revision: int, address: int) -> bytes:
    """Return the record that sets a small record to a value, or removes it for None."""
    data = value or b""
    kind = META_REMOVE if value is None else META_SET
    size = OVERHEAD + len(name) + len(data)
    body = header_bytes(size, address, revision, 0, 0, 0, 0, 0, len(name), kind) + name + data
    return body + crc_bytes(crc32c(body))
