"""Random requests, hostile on purpose: odd keys, old and future revisions, nested transactions, leases, watches.

A revision is drawn relative to the newest one at the time when the request is sent: `resolve` puts in the numbers.
"""

from typing import Any, NamedTuple

from google.protobuf.message import Message
from hypothesis import strategies as st

from brainctl.etcdpb import rpc_pb2 as pb

NEWEST = 1 << 40
"""Stands for the newest revision in a field that holds one."""
KEYS = [b"\x00", b"a", b"a\x00", b"a\xff", b"b", b"b$", b"ba", b"c", b"\xff", b"\xff\xff", b"foo", b"foo/1", b"foo/2"]

keys_or_none = st.sampled_from([*KEYS, *KEYS, b""])
ends = st.sampled_from([b"", b"", b"", b"\x00", b"\x00", b"d", b"foo0", *KEYS])
values = st.sampled_from([b"", b"v", b"w", b"\x00\xff", b"x" * 300])
relative = st.integers(NEWEST - 12, NEWEST + 2)
revisions = st.one_of(st.just(0), st.just(0), relative, relative, st.just(-1))
bounds = st.one_of(st.just(0), st.just(0), st.just(0), relative)
leases = st.sampled_from([0, 0, 0, 7, 8, 99])

ranges = st.builds(
    pb.RangeRequest,
    key=keys_or_none,
    range_end=ends,
    limit=st.sampled_from([0, 0, 1, 2, 5, -1]),
    revision=revisions,
    sort_order=st.sampled_from([0, 0, 0, 1, 2, 3]),
    sort_target=st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]),
    serializable=st.booleans(),
    keys_only=st.sampled_from([False, False, True]),
    count_only=st.sampled_from([False, False, False, True]),
    min_mod_revision=bounds,
    max_mod_revision=bounds,
    min_create_revision=bounds,
    max_create_revision=bounds,
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
    revision = draw(st.one_of(st.just(0), relative))
    union = draw(st.sampled_from([target, target, target, 0, 3, None]))
    match union:
        case 0:
            compare.version = number
        case 1:
            compare.create_revision = revision
        case 2:
            compare.mod_revision = revision
        case 3:
            compare.value = draw(values)
        case 4:
            compare.lease = number
        case _:
            pass
    return compare


def _level(operation: st.SearchStrategy[pb.RequestOp]) -> st.SearchStrategy[pb.TxnRequest]:
    return st.builds(
        pb.TxnRequest,
        compare=st.lists(compares(), max_size=2),
        success=st.lists(operation, max_size=4),
        failure=st.lists(operation, max_size=3),
    )


_leaf = st.one_of(
    st.builds(lambda r: pb.RequestOp(request_range=r), ranges),
    st.builds(lambda r: pb.RequestOp(request_put=r), puts),
    st.builds(lambda r: pb.RequestOp(request_put=r), puts),
    st.builds(lambda r: pb.RequestOp(request_delete_range=r), deletes),
)
_inner = _leaf
for _ in range(2):  # three levels of transactions
    _inner = st.one_of(_leaf, _leaf, _leaf, st.builds(lambda t: pb.RequestOp(request_txn=t), _level(_inner)))
txns = _level(_inner)
compactions = st.builds(pb.CompactionRequest, revision=relative | st.just(-1), physical=st.just(value=True))

ids = st.sampled_from([7, 7, 8, 9, 99])
lease_requests = st.one_of(
    st.builds(pb.LeaseGrantRequest, ID=ids, TTL=st.sampled_from([1000, 100_000, 9_000_000_000, 9_000_000_001])),
    st.builds(pb.LeaseRevokeRequest, ID=ids),
    st.builds(pb.LeaseKeepAliveRequest, ID=ids),
    st.builds(pb.LeaseTimeToLiveRequest, ID=ids, keys=st.booleans()),
    st.builds(pb.LeaseLeasesRequest),
)


class Streamed(NamedTuple):
    """A range that is asked for with RangeStream."""

    request: pb.RangeRequest


class Watched(NamedTuple):
    """A request on one of the watch streams."""

    stream: int
    request: pb.WatchRequest


creates = st.builds(
    pb.WatchCreateRequest,
    key=st.sampled_from([*KEYS, b""]),
    range_end=st.sampled_from([b"", b"\0", b"b", b"c", b"foo0", b"\xff"]),
    start_revision=st.one_of(st.just(0), st.just(0), relative, st.just(-1)),
    watch_id=st.sampled_from([0, 0, 0, 1, 5, -7]),
    prev_kv=st.booleans(),
    filters=st.lists(st.sampled_from([0, 1]), max_size=2),
    fragment=st.booleans(),
)
watch_requests = st.one_of(
    st.builds(lambda request: pb.WatchRequest(create_request=request), creates),
    st.builds(lambda request: pb.WatchRequest(create_request=request), creates),
    st.builds(
        lambda number: pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=number)),
        st.sampled_from([0, 1, 2, 5, 77]),
    ),
)
Step = Message | Streamed | Watched
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        *[puts, puts, puts, puts, deletes, deletes, ranges, ranges, txns, txns, lease_requests, lease_requests],
        compactions,
        st.builds(Streamed, ranges),
        st.builds(Watched, st.integers(0, 1), watch_requests),
    ),
    min_size=40,
    max_size=80,
)


def resolve(request: Any, newest: int) -> Any:
    """The request with the numbers of the revisions it is about."""
    resolved = type(request).FromString(request.SerializeToString())
    _resolve(resolved, newest)
    return resolved


def _resolve(message: Message, newest: int) -> None:
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                _resolve(inner, newest)
        elif field.name.endswith("revision") and value > NEWEST >> 1:
            setattr(message, field.name, max(value - NEWEST + newest, 1))
