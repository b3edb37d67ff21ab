"""One commit as the TiKV keys that it writes, pure."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.tikv.keys import Layout, position
from brainctl.tikv.stored import NOWHERE, OVERHEAD, Stored, pack_block

BLOCK_BYTES = 64 << 10
"""A block of the log is closed when it has grown to this; only a larger single change makes a larger block."""

Writes = dict[bytes, bytes | None]
"""TiKV keys and their new values; None deletes."""


class Encoded(NamedTuple):
    """What a commit writes, the head excepted."""

    writes: Writes
    newest: dict[bytes, Stored]
    """The newest version of each changed key, live or a tombstone."""
    blocks: dict[bytes, bytes]
    """The blocks of the log among the writes, by position."""


def encode_commit(layout: Layout, commit: Commit, known: Mapping[bytes, Stored], compacted: int) -> Encoded:
    """What makes a commit durable.

    `known` holds the newest stored version, live or a tombstone, of every changed key that has one. `compacted` is the
    compacted revision before this commit: a version not younger than that leaves the index here and may be gone from
    the log, so it is kept in section b.
    """
    writes: Writes = {}
    newest: dict[bytes, Stored] = {}
    blocks: dict[bytes, bytes] = {}
    for place, changes in _blocks(commit.changes):
        versions = []
        for change in changes:
            before = newest.get(change.key) or known.get(change.key)
            if before is not None and before.mod <= compacted:
                if before.live:
                    writes[layout.base(change.key)] = before.pack()
                else:
                    before = None
            stored = _stored(change, place, before)
            versions.append(stored)
            newest[change.key] = stored
        blocks[place] = pack_block(versions)
        writes[layout.block(place)] = blocks[place]
    for key, stored in newest.items():
        writes.update(_index(layout, key, stored, known.get(key)))
    for name, value in commit.meta.items():
        writes[layout.record(name)] = value
    return Encoded(writes, newest, blocks)


def _stored(change: KeyVersion, place: bytes, before: Stored | None) -> Stored:
    live = change.version > 0
    if before is None:
        return Stored(live, change.mod_revision, change.sub, place, 0, NOWHERE, change.kv)
    return Stored(live, change.mod_revision, change.sub, place, before.mod, before.block, change.kv)


def _index(layout: Layout, key: bytes, stored: Stored, known: Stored | None) -> Writes:
    """Section k or d of a key, and its removal from the other one."""
    writes: Writes = {layout.live(key) if stored.live else layout.dead(key): stored.pack()}
    if known is not None and known.live != stored.live:
        writes[layout.live(key) if known.live else layout.dead(key)] = None
    return writes


def _blocks(changes: list[KeyVersion]) -> Iterator[tuple[bytes, list[KeyVersion]]]:
    """The changes cut into blocks, each with its position: revision and sub-revision of its last change."""
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
