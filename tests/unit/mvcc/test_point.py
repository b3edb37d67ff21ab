"""What is taken for a get of one key is one, and is answered as any other range."""

from hypothesis import example, given
from hypothesis import strategies as st

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header
from brainctl.mvcc.keyversion import put_version
from brainctl.mvcc.point_get import point_key, point_response
from brainctl.mvcc.ranges import read_range
from tests.support.memory import MemoryView

requests = st.one_of(
    st.builds(
        pb.RangeRequest,
        key=st.sampled_from([b"", b"a", b"b\xff"]),
        range_end=st.sampled_from([b"", b"", b"\0", b"b"]),
        limit=st.integers(0, 2),
        revision=st.integers(-1, 1),
        keys_only=st.booleans(),
        count_only=st.booleans(),
    ).map(pb.RangeRequest.SerializeToString),
    st.builds(pb.RangeRequest, key=st.binary(max_size=130), serializable=st.booleans()).map(
        pb.RangeRequest.SerializeToString
    ),
    st.tuples(st.sampled_from([b"", b"\n\x01k", b"\n\x81\x00k"]), st.binary(max_size=4)).map(b"".join),
    st.binary(max_size=6),
)


@given(requests)
@example(b"\n\x00")
@example(b"\n\x01k\x38\x00")
@example(b"\n\x01k\x38\x01\x38\x00")
def test_only_a_request_with_a_key_alone_is_a_get_of_it(request: bytes) -> None:
    key = point_key(request)
    if key is not None:
        parsed = pb.RangeRequest.FromString(request)
        assert key
        assert parsed == pb.RangeRequest(key=key, serializable=parsed.serializable)


@given(st.binary(min_size=1, max_size=127), st.booleans())
def test_what_clients_send_is_known(key: bytes, serializable: bool) -> None:
    assert point_key(pb.RangeRequest(key=key, serializable=serializable).SerializeToString()) == key


@given(st.binary(max_size=20_000))
def test_the_answer_is_that_of_a_range(value: bytes) -> None:
    view, header = MemoryView(), Header(1, 2, 3)(7)
    version = put_version(b"k", value, 0, 2, 0, None)
    view.publish(Commit(2, [version], [None]))
    for key, kv in ((b"k", version.kv), (b"other", None)):
        assert point_response(header, kv) == read_range(view, pb.RangeRequest(key=key), header)
