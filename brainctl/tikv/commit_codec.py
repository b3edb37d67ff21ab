"""Encode one commit as the TiKV keys that it writes. Nothing here does I/O."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import STEP_KEYS, Steps, finish, in_pieces
from brainctl.tikv.key_codec import Layout, position
from brainctl.tikv.value_codec import NOWHERE, OVERHEAD, Stored, pack_block

BLOCK_BYTES = 64 << 10
"""A block of the log takes no change that would make it larger than this (64 KiB); only a single larger change makes a
larger block.
"""

Writes = dict[bytes, bytes | None]
"""TiKV keys and their new values; None deletes the key."""


class Encoded(NamedTuple):
    """Writes of a commit, except the head."""

    blocks: dict[bytes, bytes]
    """The blocks of the log, by position."""
    keys: dict[bytes, Writes]
    """Writes that belong together by changed user key: sections k and d, and the version kept in section b."""
    records: Writes
    """The small records."""

    def writes(self, layout: Layout) -> Writes:
        """Return all of the writes, for one transaction."""
        writes: Writes = {layout.block(place): value for place, value in self.blocks.items()}
        for index in self.keys.values():
            writes.update(index)
        writes.update(self.records)
        return writes


def encode_commit(layout: Layout, commit: Commit, known: Mapping[bytes, Stored], compacted: int) -> Encoded:
    """Return what makes a commit durable, encoded in one go; the arguments are those of `encode_steps`."""
    encoded = Encoded({}, {}, {})
    finish(encode_steps(encoded, layout, commit, known, compacted))
    return encoded


def encode_steps(
    encoded: Encoded, layout: Layout, commit: Commit, known: Mapping[bytes, Stored], compacted: int
) -> Steps[None]:
    """Fill `encoded`, in steps, with what makes a commit durable.

    Args:
        encoded: empty at the beginning.
        layout: the keys of the store.
        commit: the changes and small records to encode.
        known: the newest stored version, live or a tombstone, of every changed key that has one.
        compacted: the compacted revision before this commit. A version at or below it leaves the index here and may be
            gone from the log, so it is kept in section b.
    """
    keys = encoded.keys
    newest: dict[bytes, Stored] = {}
    for place, changes in _blocks(commit.changes):
        versions: list[Stored] = []
        for piece in in_pieces(changes, STEP_KEYS // 4):
            for change in piece:
                key = change.key
                before = newest.get(key) or known.get(key)
                base: Stored | None = None
                if before is not None and before.mod <= compacted:
                    base = before = before if before.live else None
                stored = _stored(change, place, before)
                versions.append(stored)
                newest[key] = stored
                index = _index(layout, key, stored, known.get(key))
                if base is not None:
                    index[layout.base(key)] = base.pack()
                elif key in keys and (kept := keys[key].get(layout.base(key))) is not None:
                    index[layout.base(key)] = kept
                keys[key] = index
            yield 4 * len(piece)
        encoded.blocks[place] = pack_block(versions)
    for name, value in commit.meta.items():
        encoded.records[layout.record(name)] = value


def _stored(change: KeyVersion, place: bytes, before: Stored | None) -> Stored:
    """Return a change as it is stored in the block at `place`, with the version before it."""
    live = change.version > 0
    if before is None:
        return Stored(live, change.mod_revision, change.sub, place, 0, NOWHERE, change.kv)
    return Stored(live, change.mod_revision, change.sub, place, before.mod, before.block, change.kv)


def _index(layout: Layout, key: bytes, stored: Stored, known: Stored | None) -> Writes:
    """Return the writes to section k or d for the newest version of a key, and its removal from the other section."""
    writes: Writes = {layout.live(key) if stored.live else layout.dead(key): stored.pack()}
    if known is not None and known.live != stored.live:
        writes[layout.live(key) if known.live else layout.dead(key)] = None
    return writes


def _blocks(changes: list[KeyVersion]) -> Iterator[tuple[bytes, list[KeyVersion]]]:
    """Yield the changes of each block with the block's position: revision and sub-revision of its last change."""
    block: list[KeyVersion] = []
    size = 0
    for change in changes:
        weight = OVERHEAD + len(change.kv)
        if block and size + weight > BLOCK_BYTES:
            yield position(block[-1].mod_revision, block[-1].sub), block
            block, size = [], 0
        block.append(change)
        size += weight
    if block:
        yield position(block[-1].mod_revision, block[-1].sub), block
