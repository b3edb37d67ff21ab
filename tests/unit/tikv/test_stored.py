"""TiKV values: what was packed is unpacked, and what is cut is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.errors import StoreDamaged
from brainctl.mvcc.keyversion import KeyVersion, put_version, tombstone
from brainctl.tikv.key_codec import position
from brainctl.tikv.value_codec import Head, Stored, pack_block, unpack_block

REVISIONS = st.integers(1, 2**63 - 1)
PLACES = st.builds(position, REVISIONS, st.integers(0, 2**32 - 1))
VERSIONS = st.builds(
    put_version, st.binary(min_size=1), st.binary(), REVISIONS, REVISIONS, st.integers(0, 127), st.none()
)
VERSIONS |= st.builds(tombstone, st.binary(min_size=1), REVISIONS, st.integers(0, 127))


@given(VERSIONS, PLACES, PLACES, REVISIONS)
def test_a_version_survives(version: KeyVersion, block: bytes, before_block: bytes, before: int) -> None:
    stored = Stored(version.version > 0, version.mod_revision, version.sub, block, before, before_block, version.kv)
    assert Stored.unpack(stored.pack()) == stored
    assert Stored.kv_of(stored.pack()) == stored.kv
    assert stored.version() == version
    assert stored.replaced_live == (version.version != 1)


@given(st.lists(st.tuples(VERSIONS, PLACES), min_size=1, max_size=4), st.data())
def test_a_block_survives_and_a_cut_one_is_refused(parts: list[tuple[KeyVersion, bytes]], data: st.DataObject) -> None:
    changes = [Stored(True, v.mod_revision, v.sub, place, 0, place, v.kv) for v, place in parts]
    block = pack_block(changes)
    assert unpack_block(block) == changes
    cut = data.draw(st.integers(1, len(block) - 1))
    try:
        found = unpack_block(block[:cut])
    except StoreDamaged:
        return
    # Only a cut between two changes leaves a block; the writer never makes one, since it writes a block at once.
    assert found == changes[: len(found)]
    assert pack_block(found) == block[:cut]


@given(st.builds(Head, *[st.integers(0, 2**63 - 1)] * 8))
def test_a_head_survives(head: Head) -> None:
    assert Head.unpack(head.pack()) == head


def test_no_head_is_a_store_that_was_never_written() -> None:
    assert Head.unpack(None) == Head(revision=1, compacted=0, epoch=0)


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x03" + bytes(60), bytes(100)])
def test_other_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(StoreDamaged):
        Stored.unpack(value)
    with pytest.raises(StoreDamaged):
        Stored.kv_of(value)
    if value:
        with pytest.raises(StoreDamaged):
            Head.unpack(value)
