"""One version of one key, as every backend stores it and every reader receives it."""

from typing import NamedTuple

from brainctl.wire.varint import varint


class KeyVersion(NamedTuple):
    """One key as one revision left it. A tombstone (the key was deleted) has version 0.

    `kv` is the marshalled mvccpb.KeyValue and never changes once written: responses, watch events and snapshots are
    built by joining it with length prefixes. For a tombstone it holds key and mod_revision only, as in etcd's DELETE
    events.
    """

    key: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int
    kv: bytes
    sub: int = 0
    """The place of this change among the changes of its revision, from 0: etcd's sub-revision."""


def marshal_kv(key: bytes, create: int, revision: int, version: int, value: bytes, lease: int) -> bytes:
    """Return the bytes of an mvccpb.KeyValue.

    `key` must not be empty, `create`, `revision` and `version` must not be 0. An empty value and a lease of 0 are left
    out, as protobuf does with defaults.
    """
    kv = b"\n%b%b\x10%b\x18%b\x20%b" % (varint(len(key)), key, varint(create), varint(revision), varint(version))
    if value:
        kv += b"*%b%b" % (varint(len(value)), value)
    if lease:
        kv += b"0%b" % varint(lease)
    return kv


def put_version(key: bytes, value: bytes, lease: int, revision: int, sub: int, before: KeyVersion | None) -> KeyVersion:
    """Return the version that putting `value` at `revision` makes of a key.

    Args:
        key: The key, not empty.
        value: The new value.
        lease: The id of the lease to attach the key to; 0 for none.
        revision: The revision of the write.
        sub: The sub-revision: the place of this change in its revision.
        before: The live version that is replaced; None when the key did not exist.
    """
    if before is None:
        create, version = revision, 1
    else:
        create, version = before.create_revision, before.version + 1
    kv = marshal_kv(key, create, revision, version, value, lease)
    return KeyVersion(key, create, revision, version, lease, kv, sub)


def tombstone(key: bytes, revision: int, sub: int) -> KeyVersion:
    """Return the version that deleting `key` at `revision` leaves."""
    kv = b"\n%b%b\x18%b" % (varint(len(key)), key, varint(revision))
    return KeyVersion(key, 0, revision, 0, 0, kv, sub)
