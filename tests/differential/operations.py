"""Random requests of the KV service, hostile on purpose: odd keys, old and future revisions, nested transactions."""

from hypothesis import strategies as st

from brainctl.etcdpb import rpc_pb2 as pb

KEYS = [b"\x00", b"a", b"a\x00", b"a\xff", b"b", b"b$", b"ba", b"c", b"\xff", b"\xff\xff", b"foo", b"foo/1", b"foo/2"]

keys_or_none = st.sampled_from([*KEYS, *KEYS, b""])
ends = st.sampled_from([b"", b"", b"", b"\x00", *KEYS])
values = st.sampled_from([b"", b"v", b"w", b"\x00\xff", b"x" * 300])
# Relative to the newest revision when the request is sent; None stands for 0.
offsets = st.one_of(st.none(), st.integers(-12, 2), st.just(-1000))
leases = st.sampled_from([0, 0, 0, 7, 8, 99])


def ranges(revision: st.SearchStrategy[int]) -> st.SearchStrategy[pb.RangeRequest]:
    small = st.sampled_from([0, 0, 0, 1, 3, 10, 1000])
    return st.builds(
        pb.RangeRequest,
        key=keys_or_none,
        range_end=ends,
        limit=st.sampled_from([0, 0, 1, 2, 5, -1]),
        revision=revision,
        sort_order=st.sampled_from([0, 0, 0, 1, 2, 3]),
        sort_target=st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]),
        serializable=st.booleans(),
        keys_only=st.sampled_from([False, False, True]),
        count_only=st.sampled_from([False, False, False, True]),
        min_mod_revision=small,
        max_mod_revision=small,
        min_create_revision=small,
        max_create_revision=small,
    )


puts = st.builds(
    pb.PutRequest,
    key=keys_or_none,
    value=values,
    lease=leases,
    prev_kv=st.booleans(),
    ignore_value=st.sampled_from([False, False, False, True]),
    ignore_lease=st.sampled_from([False, False, False, True]),
)
deletes = st.builds(pb.DeleteRangeRequest, key=keys_or_none, range_end=ends, prev_kv=st.booleans())


@st.composite
def compares(draw: st.DrawFn) -> pb.Compare:
    target = draw(st.integers(0, 4))
    compare = pb.Compare(key=draw(keys_or_none), range_end=draw(ends), target=target, result=draw(st.integers(0, 3)))
    number = draw(st.sampled_from([0, 0, 1, 2, 3, 7]))
    union = draw(st.sampled_from([target, target, target, 0, 3, None]))
    match union:
        case 0:
            compare.version = number
        case 1:
            compare.create_revision = number
        case 2:
            compare.mod_revision = number
        case 3:
            compare.value = draw(values)
        case 4:
            compare.lease = number
        case _:
            pass
    return compare


def txns(revision: st.SearchStrategy[int]) -> st.SearchStrategy[pb.TxnRequest]:
    leaf = st.one_of(
        st.builds(lambda r: pb.RequestOp(request_range=r), ranges(revision)),
        st.builds(lambda r: pb.RequestOp(request_put=r), puts),
        st.builds(lambda r: pb.RequestOp(request_put=r), puts),
        st.builds(lambda r: pb.RequestOp(request_delete_range=r), deletes),
    )

    def level(operation: st.SearchStrategy[pb.RequestOp]) -> st.SearchStrategy[pb.TxnRequest]:
        return st.builds(
            pb.TxnRequest,
            compare=st.lists(compares(), max_size=2),
            success=st.lists(operation, max_size=4),
            failure=st.lists(operation, max_size=3),
        )

    inner = st.builds(lambda t: pb.RequestOp(request_txn=t), level(leaf))
    return level(st.one_of(leaf, leaf, leaf, inner))
