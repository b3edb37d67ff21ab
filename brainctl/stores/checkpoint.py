"""The record in which a target keeps the checkpoint of a migration."""

from struct import Struct

from brainctl.stores.store import Checkpoint

_HEAD = Struct(">QI")
"""Epoch (8 bytes), length of the run's name in UTF-8 (4 bytes), big endian; the name and the state follow."""


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of the record."""
    run = checkpoint.run.encode()
    return _HEAD.pack(checkpoint.epoch, len(run)) + run + checkpoint.state


def decode_checkpoint(record: bytes) -> Checkpoint:
    """Return the checkpoint that a record holds."""
    epoch, length = _HEAD.unpack_from(record)
    at = _HEAD.size + length
    return Checkpoint(record[_HEAD.size : at].decode(), epoch, record[at:])
