"""B2, reading: keys and ends, limits and sorts, revisions, streams."""

from typing import Any

import pytest

from brainctl.errors import COMPACTED, EMPTY_KEY, FUTURE_REVISION, INVALID_SORT_OPTION, Code
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import KV, Client, refused
from tests.conformance.conftest import Own
from tests.contract.driver import after, get, put

Range = pb.RangeRequest


@pytest.fixture
def three(server: Client, key: bytes) -> bytes:
    """The prefix of three keys, each of whose fields orders them differently."""
    for name, value in ((b"b", b"1"), (b"c", b"3"), (b"a", b"2"), (b"c", b"0"), (b"b", b"1"), (b"b", b"1")):
        server.put(key + name, value)
    return key


def names(response: pb.RangeResponse, prefix: bytes) -> bytes:
    return b"".join(kv.key.removeprefix(prefix) for kv in response.kvs)


def test_b2_01a_an_empty_key_is_refused(server: Client) -> None:
    status = tuple(EMPTY_KEY)
    assert refused(server.get, b"") == refused(server.put, b"") == refused(server.delete, b"") == status
    assert refused(server.txn, success=[put(b"")]) == refused(server.txn, failure=[get(b"")]) == status
    assert refused(server.txn, [pb.Compare()]) == status


def test_b2_01b_without_an_end_it_is_one_key(server: Client, key: bytes) -> None:
    for name in (b"a", b"a\0", b"ab"):
        server.put(key + name)
    assert server.keys(key + b"a") == [key + b"a"]


def test_b2_01c_an_end_of_zero_is_from_the_key_on(server: Client, key: bytes) -> None:
    first, last = b"\xff\xfe" + key, b"\xff\xff" + key
    server.put(first)
    server.put(last)
    assert server.keys(first, b"\0") == [first, last]
    assert server.delete(first, b"\0").deleted == 2


def test_b2_01d_zero_to_zero_is_everything(server: Client, key: bytes) -> None:
    for name in (b"\0", b"\xff\xff\xff" + key, key):
        server.put(name)
    found = server.get(b"\0", b"\0", keys_only=True)
    assert found.kvs[0].key == b"\0"
    assert found.kvs[-1].key == b"\xff\xff\xff" + key
    assert found.count == len(found.kvs)


def test_b2_01e_the_range_of_a_prefix_ends_where_its_last_smaller_byte_is_one_more(server: Client, key: bytes) -> None:
    inside = [key + b"\xff", key + b"\xff\0", key + b"\xff\xff\xff"]
    for name in (key, *inside, key[:-1] + bytes([key[-1] + 1])):
        server.put(name)
    assert server.keys(key + b"\xff", after(key)) == inside


def test_b2_02a_more_says_that_the_limit_cut(server: Client, three: bytes) -> None:
    for limit, more in ((1, True), (2, True), (3, False), (4, False), (0, False)):
        found = server.get(three, after(three), limit=limit)
        assert (len(found.kvs), found.more) == (min(limit or 3, 3), more)


def test_b2_02b_the_count_is_that_of_the_range(server: Client, three: bytes) -> None:
    assert server.get(three, after(three), limit=1).count == 3
    assert server.get(three, after(three), min_mod_revision=server.revision).count == 3
    found = server.get(three, after(three), count_only=True, limit=1)
    assert (found.count, list(found.kvs), found.more) == (3, [], False)


@pytest.mark.parametrize(
    ("target", "ascending"),
    [
        (Range.KEY, b"abc"),
        (Range.VERSION, b"acb"),
        (Range.CREATE, b"bca"),
        (Range.MOD, b"acb"),
        (Range.VALUE, b"cba"),
    ],
)
def test_b2_02c_the_limit_cuts_what_was_sorted(server: Client, three: bytes, target: Any, ascending: bytes) -> None:
    for order, expected in ((Range.ASCEND, ascending), (Range.DESCEND, ascending[::-1])):
        found = server.get(three, after(three), sort_target=target, sort_order=order, limit=2)
        assert (names(found, three), found.more, found.count) == (expected[:2], True, 3)


def test_b2_02d_the_limit_cuts_what_the_revision_filters_leave(server: Client, key: bytes) -> None:
    at = [server.put(key + bytes([name])).header.revision for name in b"abcd"]
    for bounds, expected in (
        ({"min_mod_revision": at[2]}, b"cd"),
        ({"max_mod_revision": at[1]}, b"ab"),
        ({"min_create_revision": at[1], "max_create_revision": at[2]}, b"bc"),
    ):
        assert names(server.get(key, after(key), **bounds), key) == expected
        found = server.get(key, after(key), limit=1, **bounds)
        assert (names(found, key), found.more, found.count) == (expected[:1], True, 4)


def test_b2_02e_a_target_without_an_order_sorts_upwards(server: Client, three: bytes) -> None:
    assert names(server.get(three, after(three), sort_target=Range.VALUE), three) == b"cba"


def test_b2_02f_an_unknown_sort_option_is_refused(server: Client, key: bytes) -> None:
    assert refused(server.get, key, sort_order=9) == refused(server.get, key, sort_target=9) == INVALID_SORT_OPTION


def test_b2_02g_values_are_left_out_after_sorting_by_them(server: Client, three: bytes) -> None:
    found = server.get(three, after(three), keys_only=True, sort_target=Range.VALUE, sort_order=Range.DESCEND)
    assert names(found, three) == b"abc"
    assert {kv.value for kv in found.kvs} == {b""}


def test_b2_03a_no_revision_or_a_negative_one_is_the_newest(server: Client, key: bytes) -> None:
    server.put(key, b"old")
    server.put(key, b"new")
    assert {server.get(key, revision=revision).kvs[0].value for revision in (0, -1, -1000)} == {b"new"}


def test_b2_03b_a_future_revision_is_refused(server: Client, key: bytes) -> None:
    assert refused(server.get, key, revision=server.revision + 1) == FUTURE_REVISION


def test_b2_03c_a_compacted_revision_is_refused(server: Client, key: bytes) -> None:
    at = server.put(key).header.revision
    server.compact(at)
    assert refused(server.get, key, revision=at - 1) == COMPACTED


def test_b2_03d_the_compact_revision_can_be_read(server: Client, key: bytes) -> None:
    at = server.put(key, b"there").header.revision
    server.put(key, b"later")
    server.compact(at)
    assert server.get(key, revision=at).kvs[0].value == b"there"


def test_b2_04a_the_header_has_the_newest_revision(server: Client, key: bytes) -> None:
    old = server.put(key).header.revision
    new = server.put(key).header.revision
    assert server.get(key, revision=old).header.revision == new


def test_b2_04b_what_writes_nothing_is_no_revision(server: Client, key: bytes) -> None:
    at = server.put(key).header.revision
    assert server.delete(key + b"missing").header.revision == at
    assert server.txn(success=[get(key)]).header.revision == at
    assert server.revision == at


def test_b2_04c_a_write_is_the_next_revision(server: Client, key: bytes) -> None:
    at = server.revision
    assert server.put(key).header.revision == at + 1
    assert server.txn(success=[put(key), put(key + b"x")]).header.revision == at + 2
    assert server.delete(key).header.revision == at + 3


def test_b2_05_an_empty_store_has_revision_one(own: Own) -> None:
    fresh = own()
    assert fresh.revision == 1
    assert fresh.put(b"a").header.revision == 2
    assert fresh.get(b"a").kvs[0].create_revision == 2


def stream(server: Client, **fields: Any) -> list[pb.RangeResponse]:
    chunks = server.stream(KV + "RangeStream", [pb.RangeRequest(**fields)], take=1000)
    return [chunk.range_response for chunk in chunks]


@pytest.fixture
def many(server: Client, key: bytes) -> bytes:
    """The prefix of keys that do not fit in one chunk."""
    for number in range(60):
        server.put(key + b"%03d" % number, bytes(50_000))
    return key


def test_b2_11a_the_chunks_of_a_stream_merge_to_a_range(server: Client, many: bytes) -> None:
    for fields in ({}, {"limit": 30}, {"keys_only": True}, {"revision": server.revision - 5}, {"count_only": True}):
        chunks = stream(server, key=many, range_end=after(many), **fields)
        merged = pb.RangeResponse()
        for chunk in chunks:
            merged.MergeFrom(chunk)
        assert merged == server.get(many, after(many), **fields)


def test_b2_11b_only_the_last_chunk_has_header_more_and_count(server: Client, many: bytes) -> None:
    *first, last = stream(server, key=many, range_end=after(many), limit=50)
    assert first
    assert not any(chunk.HasField("header") or chunk.more or chunk.count for chunk in first)
    assert (last.header.revision, last.more, last.count) == (server.revision, True, 60)


@pytest.mark.parametrize(
    "fields",
    [
        {"sort_order": Range.DESCEND},
        {"sort_order": Range.ASCEND, "sort_target": Range.VALUE},
        {"min_mod_revision": 1},
        {"max_create_revision": 9},
    ],
    ids=str,
)
def test_b2_11c_a_stream_neither_sorts_nor_filters(server: Client, key: bytes, fields: dict[str, int]) -> None:
    assert refused(lambda: stream(server, key=key, **fields))[0] is Code.UNIMPLEMENTED
