"""One version of one key, as every backend stores it and every reader sees it."""

from typing import NamedTuple

from brainctl.wire.varint import varint


class KeyVersion(NamedTuple):
    """A key as one revision left it. A tombstone (the key was deleted) has version 0.

    `kv` is the marshalled mvccpb.KeyValue and never changes once written: responses, watch events and
    snapshots are built by joining it with length prefixes. Of a tombstone it holds key and mod_revision only,
    as in etcd's DELETE events.
    """

    key: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int
    kv: bytes
    sub: int = 0
    """Its place among the changes of its revision."""


def marshal_kv(key: bytes, create: int, revision: int, version: int, value: bytes, lease: int) -> bytes:
    """A marshalled mvccpb.KeyValue; `key`, `create`, `revision` and `version` are neither empty nor 0."""
    kv = b"\n%b%b\x10%b\x18%b\x20%b" % (varint(len(key)), key, varint(create), varint(revision), varint(version))
    if value:
        kv += b"*%b%b" % (varint(len(value)), value)
    if lease:
        kv += b"0%b" % varint(lease)
    return kv


def put_version(key: bytes, value: bytes, lease: int, revision: int, sub: int, before: KeyVersion | None) -> KeyVersion:
    """The version that putting `value` at `revision` makes of a key whose live version was `before`."""
    if before is None:
        create, version = revision, 1
    else:
        create, version = before.create_revision, before.version + 1
    kv = marshal_kv(key, create, revision, version, value, lease)
    return KeyVersion(key, create, revision, version, lease, kv, sub)


def tombstone(key: bytes, revision: int, sub: int) -> KeyVersion:
    """The version that deleting a key at `revision` leaves."""
    kv = b"\n%b%b\x18%b" % (varint(len(key)), key, varint(revision))
    return KeyVersion(key, 0, revision, 0, 0, kv, sub)
