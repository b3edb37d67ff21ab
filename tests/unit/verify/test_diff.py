"""The merge finds every difference and nothing else, however the sides are cut into pages."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.verify.diff import Merge, Page
from brainctl.verify.difference import FIELDS, ExtraKey, KeyDifference, Mismatch, MissingKey

Contents = dict[bytes, bytes]

KEYS = st.binary(min_size=1, max_size=3)
VALUES = st.sampled_from([b"1", b"2"])


def encode(key: bytes, **fields: int | bytes) -> bytes:
    defaults: dict[str, int | bytes] = {
        "create_revision": 5,
        "mod_revision": 9,
        "version": 2,
        "value": b"v",
        "lease": 7,
    }
    return kvpb.KeyValue(key=key, **(defaults | fields)).SerializeToString()  # type: ignore[arg-type]


def compare(expected: Contents, found: Contents, page_keys: tuple[int, int]) -> list[KeyDifference]:
    merge = Merge()
    sides = {id(merge.expected): (expected, page_keys[0]), id(merge.found): (found, page_keys[1])}
    result: list[KeyDifference] = []
    while not merge.complete:
        for side, start, end in merge.wanted():
            contents, limit = sides[id(side)]
            rest = sorted(key for key in contents if key >= start and (not end or key < end))
            page = rest[:limit]
            following = page[-1] + b"\0" if len(rest) > limit else end
            side.add(Page(page, [contents[key] for key in page], following))
            assert len(side.keys) <= 2 * max(page_keys), "memory grows"
        result += merge.differences()
    assert merge.compared == len(expected)
    return result


def oracle(expected: Contents, found: Contents) -> list[KeyDifference]:
    result: list[KeyDifference] = []
    for key in sorted(expected.keys() | found.keys()):
        if key not in found:
            result.append(MissingKey(key))
        elif key not in expected:
            result.append(ExtraKey(key))
        elif expected[key] != found[key]:
            result.append(Mismatch(key, ("value",)))
    return result


@given(
    st.dictionaries(KEYS, VALUES, max_size=30),
    st.dictionaries(KEYS, VALUES, max_size=30),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_the_merge_agrees_with_a_comparison_of_dictionaries(
    left: Contents, right: Contents, page_keys: tuple[int, int]
) -> None:
    expected = {key: encode(key, value=value) for key, value in left.items()}
    found = {key: encode(key, value=value) for key, value in right.items()}
    assert compare(expected, found, page_keys) == oracle(expected, found)


def plant(kind: str, contents: Contents, key: bytes) -> tuple[Contents, KeyDifference]:
    planted = dict(contents)
    if kind == "missing":
        del planted[key]
        return planted, MissingKey(key)
    if kind == "extra":
        extra = key + b"+"
        planted[extra] = encode(extra)
        return planted, ExtraKey(extra)
    planted[key] = encode(key, **({"value": b"w"} if kind == "value" else {kind: 3}))
    return planted, Mismatch(key, (kind,))


@pytest.mark.parametrize("kind", ["missing", "extra", *FIELDS])
def test_a_single_planted_difference_is_always_found_and_named(kind: str) -> None:
    random = Random(kind)
    contents = {key: encode(key) for key in (b"/registry/%05d" % number for number in range(2_000))}
    for key in random.sample(sorted(contents), 30):
        planted, difference = plant(kind, contents, key)
        pages = (random.randint(1, 700), random.randint(1, 700))
        assert compare(contents, planted, pages) == [difference]


def test_there_is_no_false_alarm() -> None:
    random = Random(50)
    for _ in range(50):
        contents = {key: encode(key) for key in (random.randbytes(random.randint(1, 6)) for _ in range(500))}
        assert compare(contents, dict(contents), (random.randint(1, 50), random.randint(1, 50))) == []


def test_two_swapped_values_are_two_differences() -> None:
    contents = {b"/a": encode(b"/a", value=b"1"), b"/b": encode(b"/b", value=b"2")}
    swapped = {b"/a": encode(b"/a", value=b"2"), b"/b": encode(b"/b", value=b"1")}
    assert compare(contents, swapped, (1, 1)) == [Mismatch(b"/a", ("value",)), Mismatch(b"/b", ("value",))]
