"""Pages of answers: what they are joined to is what the keys say, whatever was listed and changed before."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.engine.read import range_cache
from brainctl.engine.read.range_cache import RangeCache
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.keyversion import marshal_kv

KEYS = st.binary(max_size=2)
BOUNDS = KEYS | st.just(b"a" * 200)
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.binary(max_size=300)),
    st.tuples(st.just("delete"), KEYS, st.none()),
    st.tuples(st.just("list"), BOUNDS, st.tuples(st.none() | BOUNDS, st.sampled_from([0, 0, 1, 3, 5, 1000]))),
)


class Keys:
    """A store that is a dict."""

    def __init__(self, keys: dict[bytes, bytes]) -> None:
        self.keys = keys
        self.reads = 0

    def read(self, start: bytes, end: bytes | None, limit: int) -> tuple[list[bytes], list[bytes], bytes | None]:
        self.reads += 1
        keys = sorted(key for key in self.keys if start <= key and (end is None or key < end))[: limit or None]
        upto = keys[-1] + b"\0" if keys and len(keys) == limit else end
        return keys, [marshal_kv(key, 1, 2, 1, self.keys[key], 0) for key in keys], upto

    def kv(self, key: bytes) -> bytes | None:
        return marshal_kv(key, 1, 2, 1, self.keys[key], 0) if key in self.keys else None


def check_list(found: RangeCache, store: Keys, start: bytes, end: bytes | None, limit: int) -> None:
    parts, count = whole(found.parts, found.begin(), start, end, limit)
    response = pb.RangeResponse.FromString(b"".join(parts))
    keys, *_ = Keys(store.keys).read(start, end, limit)
    assert [(kv.key, kv.value) for kv in response.kvs] == [(key, store.keys[key]) for key in keys]
    assert count == len(keys)
    assert whole(found.rows, found.begin(), start, end, limit) == ([store.kv(key) for key in keys], count)


def whole(
    read: Callable[..., range_cache.Piece], number: int, start: bytes, end: bytes | None, limit: int
) -> tuple[list[bytes], int]:
    """All pieces of a range."""
    kvs: list[bytes] = []
    count = 0
    place: bytes | None = start
    while place is not None and not (limit and count >= limit):
        piece = read(number, place, end, limit - count if limit else 0)
        assert piece.cost <= 2 * range_cache.STEP_KEYS
        kvs += piece.kvs
        count += piece.live
        place = piece.following
    return kvs, count


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"_KEYS": 3, "_BYTES": 500, "_READ": 8, "_FEW": 2, "_OVERHEAD": 40, "_ENTRY": 10, "STEP_KEYS": 12}
    for name, value in sizes.items():
        monkeypatch.setattr(range_cache, name, value)


@given(st.dictionaries(KEYS, st.binary(max_size=100), max_size=40), st.lists(STEPS, max_size=60))
def test_lists_are_what_the_keys_say(keys: dict[bytes, bytes], steps: list[tuple]):
    store = Keys(keys)
    found = RangeCache(1500, store.read)
    for name, key, detail in steps:
        if name == "list":
            check_list(found, store, key, *detail)
            continue
        if name == "put":
            store.keys[key] = detail
        else:
            store.keys.pop(key, None)
        found.change(key, store.kv(key))
    check_list(found, store, b"", None, 0)
    starts = [cached.start for cached in found._ranges]
    assert starts == sorted(set(starts)) == found._starts
    ends = [cached.end for cached in found._ranges]
    assert all(end is not None and end <= start for end, start in zip(ends[:-1], starts[1:], strict=True))
    assert found._size == sum(cached.size for cached in found._ranges) <= 1500


def test_what_was_listed_is_not_read_again():
    store = Keys({b"%02d" % number: b"v" for number in range(40)})
    found = RangeCache(1 << 20, store.read)
    check_list(found, store, b"", None, 0)
    before = store.reads
    check_list(found, store, b"", None, 0)
    check_list(found, store, b"05", b"31", 0)
    assert store.reads == before
    for number, value in enumerate([b"w", b"x" * 100, b""]):
        store.keys[b"17"] = store.keys[b"17+%d" % number] = value
        del store.keys[b"%02d" % number]
        for key in (b"17", b"17+%d" % number, b"%02d" % number):
            found.change(key, store.kv(key))
        check_list(found, store, b"", None, 0)
    assert store.reads == before


def test_a_cached_range_that_changes_and_is_not_listed_is_dropped():
    store = Keys({b"%02d" % number: b"v" for number in range(40)})
    found = RangeCache(1 << 20, store.read)
    check_list(found, store, b"", None, 0)
    before_it = len(found)
    for _ in range(range_cache._CHANGES + 1):
        found.change(b"17", store.kv(b"17"))
    assert len(found) == before_it - 1
    check_list(found, store, b"", None, 0)
    assert len(found) == before_it


def test_a_store_larger_than_the_budget_keeps_what_it_can():
    store = Keys({b"%03d" % number: b"v" * 50 for number in range(100)})
    found = RangeCache(2600, store.read)
    for _ in range(3):
        check_list(found, store, b"", None, 0)
        assert len(found) > 3
    first = store.reads
    check_list(found, store, b"", b"009", 0)
    assert store.reads == first
