"""JSON of the gateway by itself: what is written can be read, and whatever else comes is refused in one way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.errors import ApiError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.server.gateway.json_codec import decode, encode

integers = st.integers(-(2**63), 2**63 - 1)
puts = st.builds(pb.PutRequest, key=st.binary(), value=st.binary(), lease=integers, prev_kv=st.booleans())
ranges = st.builds(
    pb.RangeRequest,
    key=st.binary(),
    range_end=st.binary(),
    limit=integers,
    sort_order=st.sampled_from(pb.RangeRequest.SortOrder.values()),
)
operations = st.one_of(
    st.builds(pb.RequestOp, request_put=puts),
    st.builds(pb.RequestOp, request_range=ranges),
)
transactions = st.builds(
    pb.TxnRequest, success=st.lists(operations, max_size=3), failure=st.lists(operations, max_size=3)
)
names = st.sampled_from(["compare", "success", "failure", "requestPut", "request_range", "key", "value", "limit", "x"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("AA=="),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(transactions)
def test_what_is_written_can_be_read(request: pb.TxnRequest):
    assert decode(pb.TxnRequest, encode(request)) == [request]


@given(st.lists(puts, max_size=4))
def test_requests_follow_each_other(requests: list[pb.PutRequest]):
    body = b" \n".join(encode(request) for request in requests)
    assert decode(pb.PutRequest, body, many=True) == requests


@given(documents.map(json.dumps).map(str.encode) | st.binary())
def test_anything_is_read_or_refused(body: bytes):
    for many in (False, True):
        code, found = Code.INVALID_ARGUMENT, []
        try:
            found = decode(pb.TxnRequest, body, many=many)
        except ApiError as error:
            code = error.status.code
        assert code == Code.INVALID_ARGUMENT
        assert all(type(request) is pb.TxnRequest for request in found)


@pytest.mark.parametrize("depth", [5, 20, 200, 5000])
def test_depth_is_bounded(depth: int):
    body = b'{"success":[{"request_txn":' * depth + b"{}" + b"}]}" * depth
    if depth <= 20:
        assert len(decode(pb.TxnRequest, body)) == 1
    else:
        with pytest.raises(ApiError):
            decode(pb.TxnRequest, body)
