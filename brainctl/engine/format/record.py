"""The bytes of one record: one version of a key, or one change of a small record (docs/formats/log-record.md).

Little-endian. A record ends in the CRC-32C of everything before it, so the CRC-32C of a whole record is RESIDUE.
It carries its own address, so that a record in the wrong place is recognised as such even though its bytes are sound.
"""

from struct import Struct

from crc32c import crc32c

from brainctl.mvcc.keyversion import KeyVersion

HEADER = Struct("<IIQQQqQIIB3x")
"""length, address, mod_revision, create_revision, version, lease, previous address, sub, key length, kind."""
PLACE = Struct("<II")
"""length, address: the start of HEADER."""
KEY_AND_KIND = Struct("<52xIB")
"""key length, kind: the end of HEADER."""
HEADER_SIZE = HEADER.size
KIND = HEADER_SIZE - 4
"""Offset of the kind in a record, with three zeros behind it."""
OVERHEAD = HEADER_SIZE + 4
"""Bytes of a record beside its KeyValue: the header before it and the CRC behind it."""
CRC = Struct("<I")
RESIDUE = crc32c(bytes(4))
"""CRC-32C of any bytes followed by their own CRC-32C, little-endian.

So a record is checked with one call, without cutting its CRC off.
"""

PUT, TOMBSTONE, IMPORTED, META_SET, META_REMOVE = range(5)
"""Kinds of record. IMPORTED is a PUT that a migration copied: it has no place in the history."""


def key_offset(length: int) -> int:
    """Return where the key begins in a marshalled KeyValue whose first field is a key of `length` bytes.

    That is behind the tag and the varint of the length.
    """
    if length < 1 << 7:
        return 2
    return 3 if length < 1 << 14 else 4 if length < 1 << 21 else 5 if length < 1 << 28 else 6


def key_of(record: bytes) -> bytes:
    """Return the key of a version; of a small record, its name."""
    length, kind = KEY_AND_KIND.unpack_from(record)
    at = HEADER_SIZE if kind >= META_SET else HEADER_SIZE + key_offset(length)
    return record[at : at + length]


def version_of(record: bytes) -> KeyVersion:
    """Return the version that a record holds; it is of one of the first three kinds."""
    _n, _at, mod, create, version, lease, _previous, sub, length, _kind = HEADER.unpack_from(record)
    at = HEADER_SIZE + key_offset(length)
    return KeyVersion(record[at : at + length], create, mod, version, lease, record[HEADER_SIZE:-4], sub)
