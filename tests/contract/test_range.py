"""KV.Range: what is selected, what is returned of it, and what is refused."""

from typing import Any

import pytest

from brainctl.errors import COMPACTED, EMPTY_KEY, FUTURE_REVISION, INVALID_SORT_OPTION
from brainctl.etcdpb import rpc_pb2 as pb
from tests.contract.driver import Driver, after

ASCEND, DESCEND, NONE = pb.RangeRequest.ASCEND, pb.RangeRequest.DESCEND, pb.RangeRequest.NONE


def keys(response: pb.RangeResponse, prefix: bytes) -> list[bytes]:
    return [kv.key.removeprefix(prefix) for kv in response.kvs]


@pytest.fixture
def three(store: Driver, key: bytes) -> bytes:
    """Three keys, each of whose fields orders them differently; the prefix."""
    store.put(key + b"b", b"1")
    store.put(key + b"c", b"3")
    store.put(key + b"a", b"2")
    store.put(key + b"c", b"0")
    store.put(key + b"b", b"1")
    store.put(key + b"b", b"1")
    return key


def test_an_empty_key_is_refused(store: Driver) -> None:
    assert store.status_of(store.store.range(pb.RangeRequest())) == EMPTY_KEY


def test_one_key(store: Driver, three: bytes) -> None:
    found = store.get(three + b"b")
    assert (keys(found, three), found.count, found.more) == ([b"b"], 1, False)
    assert (found.kvs[0].value, found.kvs[0].version) == (b"1", 3)


def test_a_missing_key_is_an_empty_answer(store: Driver, key: bytes) -> None:
    found = store.get(key)
    assert (list(found.kvs), found.count, found.more) == ([], 0, False)


def test_a_range_is_half_open_and_in_byte_order(store: Driver, key: bytes) -> None:
    names = [b"\x00", b"a", b"a\x00", b"a#", b"a\xff", b"b", b"\xff", b"\xff\xff"]
    for name in reversed(names):
        store.put(key + name)
    assert keys(store.get(key, after(key)), key) == names
    assert keys(store.get(key + b"a", key + b"b"), key) == names[1:5]
    assert keys(store.get(key + b"a", key + b"a"), key) == []
    assert keys(store.get(key + b"b", key + b"a"), key) == []


def test_an_end_of_zero_means_all_keys_from_the_start(store: Driver, key: bytes) -> None:
    last = b"\xff\xff" + key
    store.put(last)
    assert keys(store.get(last, b"\0"), b"") == [last]
    assert store.get(b"\0", b"\0", keys_only=True, limit=1).count == store.get(b"\0", b"\0", count_only=True).count
    assert store.get(b"\xff\xff" + key, b"\xff\xff\xff").count == 1
    store.delete(last)


def test_limit_sets_more_and_leaves_the_count(store: Driver, three: bytes) -> None:
    for limit, more in ((1, True), (2, True), (3, False), (4, False), (0, False)):
        found = store.get(three, after(three), limit=limit)
        assert (len(found.kvs), found.more, found.count) == (min(limit or 3, 3), more, 3)


def test_count_only_returns_no_keys(store: Driver, three: bytes) -> None:
    found = store.get(three, after(three), count_only=True, limit=1)
    assert (list(found.kvs), found.count) == ([], 3)


def test_keys_only_blanks_values_after_sorting_by_them(store: Driver, three: bytes) -> None:
    by_value = {"sort_target": pb.RangeRequest.VALUE, "sort_order": ASCEND}
    found = store.get(three, after(three), keys_only=True, **by_value)
    assert keys(found, three) == [b"c", b"b", b"a"]
    assert {kv.value for kv in found.kvs} == {b""}
    assert found.kvs[0].mod_revision > 0


@pytest.mark.parametrize(
    ("target", "ascending"),
    [
        (pb.RangeRequest.KEY, [b"a", b"b", b"c"]),
        (pb.RangeRequest.VERSION, [b"a", b"c", b"b"]),
        (pb.RangeRequest.CREATE, [b"b", b"c", b"a"]),
        (pb.RangeRequest.MOD, [b"a", b"c", b"b"]),
        (pb.RangeRequest.VALUE, [b"c", b"b", b"a"]),
    ],
)
def test_sorting(store: Driver, three: bytes, target: Any, ascending: list[bytes]) -> None:
    def found(order: Any, limit: int = 0) -> list[bytes]:
        return keys(store.get(three, after(three), sort_target=target, sort_order=order, limit=limit), three)

    assert found(ASCEND) == ascending
    assert found(DESCEND) == ascending[::-1]
    assert found(NONE) == ascending, "a target other than the key sorts even without an order"
    assert found(DESCEND, 1) == ascending[::-1][:1], "the limit cuts what was sorted, not what is scanned"


@pytest.mark.parametrize("field", ["sort_order", "sort_target"])
def test_an_unknown_sort_option_is_refused(store: Driver, key: bytes, field: str) -> None:
    request = pb.RangeRequest(key=key, **{field: 9})  # type: ignore[arg-type]
    assert store.status_of(store.store.range(request)) == INVALID_SORT_OPTION


def test_revision_filters_cut_keys_but_not_the_count(store: Driver, key: bytes) -> None:
    first = [store.put(key + name).header.revision for name in (b"a", b"b", b"c")]
    again = store.put(key + b"a").header.revision

    def found(**bounds: int) -> tuple[list[bytes], int]:
        response = store.get(key, after(key), **bounds)
        return keys(response, key), response.count

    assert found(min_mod_revision=first[2]) == ([b"a", b"c"], 3)
    assert found(max_mod_revision=first[2]) == ([b"b", b"c"], 3)
    assert found(min_create_revision=first[1], max_mod_revision=first[2]) == ([b"b", b"c"], 3)
    assert found(max_create_revision=first[0]) == ([b"a"], 3)
    assert found(min_mod_revision=again + 1) == ([], 3)


def test_limit_counts_after_the_revision_filters(store: Driver, key: bytes) -> None:
    revisions = [store.put(key + name).header.revision for name in (b"a", b"b", b"c", b"d")]
    found = store.get(key, after(key), min_mod_revision=revisions[2], limit=1)
    assert (keys(found, key), found.more, found.count) == ([b"c"], True, 4)
    found = store.get(key, after(key), min_mod_revision=revisions[2], limit=2)
    assert (keys(found, key), found.more, found.count) == ([b"c", b"d"], False, 4)


def test_the_past_is_read_as_it_was(store: Driver, key: bytes) -> None:
    one = store.put(key + b"kept", b"old").header.revision
    store.put(key + b"gone", b"x")
    two = store.put(key + b"kept", b"new").header.revision
    store.delete(key + b"gone")
    store.put(key + b"late", b"y")
    assert [kv.value for kv in store.get(key, after(key), revision=one).kvs] == [b"old"]
    assert keys(store.get(key, after(key), revision=two), key) == [b"gone", b"kept"]
    assert keys(store.get(key, after(key)), key) == [b"kept", b"late"]
    assert store.get(key + b"kept", revision=two - 1).kvs[0].value == b"old"
    assert store.get(key, after(key), revision=two, count_only=True).count == 2


def test_the_header_shows_the_current_revision_not_the_one_asked_for(store: Driver, key: bytes) -> None:
    old = store.put(key).header.revision
    new = store.put(key).header.revision
    assert store.get(key, revision=old).header.revision == new


def test_a_negative_revision_means_the_newest(store: Driver, key: bytes) -> None:
    store.put(key, b"v")
    assert store.get(key, revision=-5).kvs[0].value == b"v"


def test_a_future_revision_is_refused(store: Driver, key: bytes) -> None:
    request = pb.RangeRequest(key=key, revision=store.revision + 1)
    assert store.status_of(store.store.range(request)) == FUTURE_REVISION


def test_a_compacted_revision_is_refused_and_the_compact_revision_is_not(store: Driver, key: bytes) -> None:
    store.put(key, b"1")
    at = store.put(key, b"2").header.revision
    store.put(key, b"3")
    store.compact(at)
    assert store.get(key, revision=at).kvs[0].value == b"2"
    assert store.status_of(store.store.range(pb.RangeRequest(key=key, revision=at - 1))) == COMPACTED


def test_a_serializable_read_finds_what_was_written(store: Driver, key: bytes) -> None:
    store.put(key, b"v")
    assert store.get(key, serializable=True).kvs[0].value == b"v"
