"""The state hash: what it is made of, that it does not depend on who computes it, and that every change shows."""

from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.mvcc.keyversion import marshal_kv
from brainctl.mvcc.state_hash import Cutter, Follower, Part, leaves_of

Contents = dict[bytes, bytes]
KEYS = st.binary(min_size=1, max_size=3)
CONTENTS = st.dictionaries(KEYS, st.binary(max_size=4), max_size=25).map(
    lambda found: {key: marshal_kv(key, 2, 3, 1, value, 0) for key, value in found.items()}
)


def by_hand(kvs: list[bytes]) -> bytes:
    """The hash of a range as docs/formats/state-hash.md describes it."""
    leaves = [blake2b(kv, digest_size=32, person=b"brainctl key\0\0\0\0").digest() for kv in kvs]
    return blake2b(b"".join(leaves), digest_size=32, person=b"brainctl range\0\0").digest()


def arrivals(contents: Contents, step: int) -> list[list[bytes]]:
    keys = sorted(contents)
    return [keys[at : at + step] for at in range(0, len(keys), step)]


def cut(contents: Contents, keys: int, step: int) -> list[Part]:
    cutter = Cutter(b"", keys)
    for some in arrivals(contents, step):
        kvs = [contents[key] for key in some]
        cutter.add(some, leaves_of(kvs), list(map(len, kvs)))
    cutter.finish()
    return cutter.parts


def follow(contents: Contents, cuts: list[Part], step: int) -> list[Part]:
    """Hash as a server does: what lies in a part that is skipped is not read."""
    follower = Follower(cuts)
    place = b""
    while not follower.complete:
        rest = {key: kv for key, kv in contents.items() if key >= place}
        for some in arrivals(rest, step):
            kvs = [contents[key] for key in some]
            follower.add(some, leaves_of(kvs), list(map(len, kvs)))
            if follower.overrun:
                place = follower.skip()
                break
        else:
            follower.finish()
    return follower.parts


def within(contents: Contents, parts: list[Part]) -> list[Contents]:
    """The contents of each part."""
    found, start = [], b""
    for part in parts:
        end = part.end
        found.append({key: kv for key, kv in contents.items() if start <= key and (not end or key < end)})
        start = end
    return found


def test_the_example_of_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "formats" / "state-hash.md").read_text()
    kv = marshal_kv(b"a", 2, 2, 1, b"v", 0)
    assert f"KeyValue   {kv.hex(' ')}" in page
    assert f"leaf       {leaves_of([kv])[0].hex()}" in page
    assert f"hash       {by_hand([kv]).hex()}" in page
    assert cut({b"a": kv}, 5, 5) == [Part(b"", 1, len(kv), by_hand([kv]))]


@given(CONTENTS, st.integers(1, 9), st.integers(1, 7), st.integers(1, 7))
def test_both_ways_give_the_hash_by_hand_however_keys_arrive(
    contents: Contents, keys: int, step: int, other: int
) -> None:
    parts = cut(contents, keys, step)
    assert follow(contents, parts, other) == parts
    assert parts[-1].end == b""
    for part, inside in zip(parts, within(contents, parts), strict=True):
        kvs = [inside[key] for key in sorted(inside)]
        assert part == Part(part.end, len(kvs), sum(map(len, kvs)), by_hand(kvs))
        assert part.keys <= keys


@given(CONTENTS, CONTENTS, st.integers(1, 9), st.integers(1, 7))
def test_parts_are_equal_where_contents_are_and_nowhere_else(
    left: Contents, right: Contents, keys: int, step: int
) -> None:
    parts = cut(left, keys, step)
    other = follow(right, parts, step)
    same = [one == two for one, two in zip(within(left, parts), within(right, parts), strict=True)]
    assert [one.digest == two.digest for one, two in zip(parts, other, strict=True)] == same


FIELDS = {"key": b"/other", "create": 7, "revision": 8, "version": 9, "value": b"w", "lease": 10}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_shows(field: str) -> None:
    fields: dict[str, bytes | int] = {
        "key": b"/k", "create": 2, "revision": 3, "version": 1, "value": b"v", "lease": 4,
    }  # fmt: skip
    changed = fields | {field: FIELDS[field]}
    one, other = (marshal_kv(**some) for some in (fields, changed))  # type: ignore[arg-type]
    assert cut({b"/k": one}, 5, 5) != cut({b"/k": other}, 5, 5)


def test_what_moves_from_a_value_to_the_next_key_shows() -> None:
    one = {b"a": b"\n\1a*\2bc", b"d": b"\n\1d"}
    other = {b"a": b"\n\1a*\1b", b"d": b"c\n\1d"}
    assert b"".join(one.values()) != b"".join(other.values())
    assert cut(one, 5, 5)[0].digest != cut(other, 5, 5)[0].digest


def test_the_order_of_keys_counts() -> None:
    a, b = (marshal_kv(key, 2, 3, 1, b"v", 0) for key in (b"a", b"b"))
    assert by_hand([a, b]) != by_hand([b, a])


def test_a_part_ends_by_its_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainctl.mvcc.state_hash.PART_BYTES", 1_000)
    contents = {key: marshal_kv(key, 2, 3, 1, b"v" * 400, 0) for key in (b"%03d" % n for n in range(10))}
    parts = cut(contents, 100, 1)
    assert [part.keys for part in parts] == [3, 3, 3, 1]


def test_a_part_with_more_bytes_is_left_without_a_hash() -> None:
    small = {b"b": marshal_kv(b"b", 2, 3, 1, b"", 0), b"z": marshal_kv(b"z", 2, 3, 1, b"", 0)}
    parts = cut(small, 1, 5)
    large = small | {key: marshal_kv(key, 2, 3, 1, b"v" * 9, 0) for key in (b"a%03d" % n for n in range(100))}
    found = follow(large, parts, 10)
    assert [part.digest for part in found] == [b"", *(part.digest for part in parts[1:])]
    assert found[0].keys < 20, "the rest of it is not read"
