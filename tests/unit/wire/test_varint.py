"""Varints are protobuf's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.wire.varint import varint, varints

EDGES = [limit + step for bits in (7, 14, 21, 28, 35, 56, 62) for limit in (1 << bits,) for step in (-1, 0, 1)]


def expected(value: int) -> bytes:
    return pb.RangeRequest(limit=value).SerializeToString()[1:] or b"\0"


@pytest.mark.parametrize("value", [0, 1, -1, (1 << 63) - 1, -(1 << 63), *EDGES])
def test_the_edges_are_encoded_as_protobuf_does(value: int) -> None:
    assert varint(value) == expected(value)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_any_int64_is_encoded_as_protobuf_does(value: int) -> None:
    assert varint(value) == expected(value)


@given(st.one_of(st.sampled_from([edge for edge in EDGES if edge > 3]), st.integers(0, 1 << 62)), st.integers(0, 300))
def test_numbers_in_a_row_are_encoded_as_each(first: int, count: int) -> None:
    assert varints(first, count) == [varint(value) for value in range(first, first + count)]
