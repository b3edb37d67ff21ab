"""The key space: order is kept, stores and sections do not overlap, prefixes that would overlap are refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from brainctl.errors import InvalidInput
from brainctl.tikv.key_codec import LANES, Layout, after, position

HOSTILE = st.binary(min_size=1, max_size=12) | st.text("\x00\x01$/klmr\x7f", min_size=1).map(str.encode)
HOSTILE |= st.lists(st.sampled_from([b"\x00", b"\xff", b"$", b"/", b"a", b"aa"]), min_size=1).map(b"".join)
LAYOUT = Layout("prod/one")


def sections(layout: Layout) -> list[bytes]:
    return [layout.lives, layout.deads, layout.bases, layout.records, layout.log, layout.epochs, layout.lanes]


@given(HOSTILE, HOSTILE)
@example(b"a", b"a\x00")
@example(b"\xff", b"\xff\xff")
@example(b"a$", b"a")
def test_keys_sort_as_the_keys_of_the_user(one: bytes, other: bytes) -> None:
    for place in (LAYOUT.live, LAYOUT.dead, LAYOUT.base):
        assert (place(one) < place(other)) == (one < other)
        assert (place(one) == place(other)) == (one == other)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_a_range_holds_exactly_its_keys(key: bytes, start: bytes, end: bytes) -> None:
    low, high = LAYOUT.bounds(LAYOUT.lives, start, end)
    assert (low <= LAYOUT.live(key) < high) == (start <= key < end)
    low, high = LAYOUT.bounds(LAYOUT.lives, start, None)
    assert (low <= LAYOUT.live(key) < high) == (start <= key)


@given(HOSTILE)
def test_a_key_stays_in_its_section(key: bytes) -> None:
    places = [LAYOUT.live(key), LAYOUT.dead(key), LAYOUT.base(key), LAYOUT.record(key), LAYOUT.block(key)]
    for number, place in enumerate(places):
        assert [start <= place < after(start) for start in sections(LAYOUT)] == [
            at == number for at in range(len(sections(LAYOUT)))
        ] or number == 4
    assert LAYOUT.head not in places


@given(
    st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1)),
    st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 9)),
)
def test_positions_sort_as_revision_and_sub_revision(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (position(*one) < position(*other)) == (one < other)
    assert len(position(*one)) == 12


NAMES = st.text("abdhklmrxyz-", min_size=1, max_size=3)
PREFIXES = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(PREFIXES, PREFIXES, HOSTILE)
def test_no_store_lies_inside_another(one: str, other: str, key: bytes) -> None:
    try:
        layouts = Layout(one), Layout(other)
    except InvalidInput:
        return
    if one != other:
        for place in (layouts[0].live(key), layouts[0].record(key), layouts[0].head, layouts[0].lane(LANES - 1)):
            assert not any(start <= place < after(start) for start in sections(layouts[1]))
            assert place != layouts[1].head


def test_the_control_prefixes_do_overlap() -> None:
    # What is refused would indeed be a key of another store.
    assert (b"a/" + b"k/" + b"r/x").startswith(Layout("a").lives)
    with pytest.raises(InvalidInput, match="names a part"):
        Layout("a/k")


@pytest.mark.parametrize("prefix", ["", "/", "a//b", "a/", "/a", "k", "a/r", "ü", "a\x00", "x" * 300])
def test_a_bad_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidInput):
        Layout(prefix)
