"""The search for what differs by hashes: it finds every difference, and reads little besides."""

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainctl.mvcc.keyversion import marshal_kv
from brainctl.mvcc.state_hash import Part
from brainctl.verify import narrow as module
from brainctl.verify.diff import Page
from brainctl.verify.narrow import Span, joined, narrow
from brainctl.verify.range_hashes import Hashed, Leaves, PageHashes, leaves_in

Contents = dict[bytes, bytes]


def contents_of(keys: list[bytes]) -> Contents:
    return {key: marshal_kv(key, 2, 3, 1, b"v", 0) for key in keys}


def hashes(contents: Contents, page_keys: int) -> PageHashes:
    async def read(start: bytes, end: bytes, _revision: int) -> Leaves:
        rest = sorted(key for key in contents if key >= start and (not end or key < end))
        some = rest[:page_keys]
        upto = some[-1] + b"\0" if len(rest) > page_keys else end
        return leaves_in(Page(some, [contents[key] for key in some], upto))

    return PageHashes(read)


async def spans(left: Contents, right: Contents, keys: int, page_keys: int = 40) -> list[Span]:
    lead, follow = hashes(left, page_keys), hashes(right, page_keys)

    async def both(start: bytes, end: bytes, wanted: int) -> tuple[Hashed, list[Part]]:
        cut = await lead.cut(start, end, 0, wanted)
        return cut, await follow.follow(start, cut.parts, 0)

    return [span async for span in joined(narrow(both, b"", b"", keys))]


def inside(contents: Contents, span: Span) -> Contents:
    return {key: kv for key, kv in contents.items() if span.start <= key and (not span.end or key < span.end)}


KEYS = st.binary(min_size=1, max_size=3)


@settings(max_examples=50)
@given(st.sets(KEYS, max_size=60), st.sets(KEYS, max_size=60), st.integers(1, 30), st.integers(1, 20))
def test_equal_spans_are_equal_and_all_keys_are_covered(
    one: set[bytes], other: set[bytes], keys: int, page_keys: int
) -> None:
    left, right = contents_of(sorted(one)), contents_of(sorted(other))
    found = asyncio.run(spans(left, right, keys, page_keys))
    assert [span.start for span in found] == [b"", *(span.end for span in found[:-1])]
    assert found[-1].end == b""
    for span in found:
        if span.equal:
            assert inside(left, span) == inside(right, span)
            assert span.keys == len(inside(left, span))
            assert span.size == sum(map(len, inside(left, span).values()))


@pytest.mark.parametrize("kind", ["missing", "extra", "value"])
def test_one_difference_in_many_keys_leaves_few_to_read(kind: str) -> None:
    random = Random(kind)
    left = contents_of([b"/registry/%05d" % number for number in range(20_000)])
    for key in random.sample(sorted(left), 3):
        right = dict(left)
        if kind == "missing":
            del right[key]
        elif kind == "extra":
            right |= contents_of([key + b"+"])
        else:
            right[key] = marshal_kv(key, 2, 3, 1, b"w", 0)
        found = asyncio.run(spans(left, right, 8_192, 1_000))
        (read,) = [span for span in found if not span.equal]
        assert read.start <= key
        assert not read.end or key < read.end
        assert len(inside(left, read)) <= module.READ_KEYS


def test_where_all_differs_it_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_KEYS", 1_000)
    left = contents_of([b"/%04d" % number for number in range(4_000)])
    right = {key: kv + b"0\7" for key, kv in left.items()}
    assert asyncio.run(spans(left, right, 900)) == [Span(b"", b"", False)]
