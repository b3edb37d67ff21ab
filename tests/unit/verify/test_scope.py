"""Which keys a scope has, and how the keys of a copy that was moved are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.verify.scope import Mapping, Scope

ALPHABET = st.sampled_from([b"a", b"b", b"\xff", b"\0"])
NAMES = st.lists(ALPHABET, max_size=4).map(b"".join)
KEYS = NAMES.filter(bool)


@given(NAMES, st.lists(KEYS, max_size=3), st.lists(KEYS, max_size=20))
def test_ranges_have_the_keys_of_the_prefix_and_none_that_is_excluded(
    prefix: bytes, exclude: list[bytes], keys: list[bytes]
) -> None:
    ranges = Scope(prefix, tuple(exclude)).ranges()
    for key in keys:
        inside = [start <= key and (not end or key < end) for start, end in ranges]
        assert sum(inside) == (key.startswith(prefix) and not key.startswith(tuple(exclude) or b"\1"))
    assert ranges == sorted(ranges)


@given(NAMES, NAMES, NAMES)
def test_a_name_goes_there_and_back(old: bytes, new: bytes, rest: bytes) -> None:
    mapping = Mapping(old, new)
    assert mapping.there(old + rest) == new + rest
    assert mapping.back(mapping.there(old + rest)) == old + rest


@pytest.mark.parametrize(
    ("prefix", "old", "range_"),
    [
        (b"", b"/a/", (b"/a/", b"/a0")),
        (b"/", b"/a/", (b"/a/", b"/a0")),
        (b"/a/b", b"/a/", (b"/a/b", b"/a/c")),
        (b"", b"", (b"", b"")),
    ],
)
def test_a_mapping_is_of_the_keys_below_its_old_prefix(prefix: bytes, old: bytes, range_: tuple[bytes, bytes]) -> None:
    assert Scope(prefix, mapping=Mapping(old, b"/new/")).ranges() == [range_]


def test_only_all_of_a_store_is_whole() -> None:
    assert Scope().whole
    assert not Scope(b"/a").whole
    assert not Scope(values_only=True).whole
