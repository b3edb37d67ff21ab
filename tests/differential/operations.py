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


def mostly(usual: list[Any], *rare: Any) -> st.SearchStrategy[Any]:
    """One of the usual values, in one case of fifty a rare one."""
    return st.sampled_from([*usual * (49 * len(rare) // len(usual) + 1), *rare])


@st.composite
def weighted(draw: st.DrawFn, *choices: tuple[int, st.SearchStrategy[Any]]) -> Any:
    """One of the strategies, by their weights; one_of leaves out what it has already."""
    of = draw(st.sampled_from([index for index, (weight, _) in enumerate(choices) for _ in range(weight)]))
    return draw(choices[of][1])


keys = mostly(KEYS, b"")
ends = st.sampled_from([*[b""] * 6, *[b"\0"] * 6, *[b"foo0", b"\xff\xff"] * 4, *KEYS])
few = st.sampled_from([*[b""] * 20, b"\0", b"a\xff", b"c", b"foo/1"])
leases = st.sampled_from([0, 7, 8])
values = st.sampled_from([b"", b"a", b"v", b"w", b"\x00\xff", b"x" * 300])
revisions = st.sampled_from([*[0] * 20, *range(NEWEST - 12, NEWEST + 1), -1, NEWEST + 2])
bounds = st.sampled_from([*[0] * 90, *range(NEWEST - 12, NEWEST + 1)])

ranges = st.builds(
    pb.RangeRequest,
    key=keys,
    range_end=ends,
    limit=st.sampled_from([0, 0, 0, 1, 2, 5, -1]),
    revision=revisions,
    sort_order=mostly([0, 0, 1, 2], 3),
    sort_target=mostly([0, 0, 0, 1, 2, 3, 4], 5),
    serializable=st.booleans(),
    keys_only=st.sampled_from([False, False, True]),
    count_only=st.sampled_from([False, False, False, False, True]),
    min_mod_revision=bounds,
    max_mod_revision=bounds,
    min_create_revision=bounds,
    max_create_revision=bounds,
)
_put = {"key": keys, "value": values, "prev_kv": st.booleans()}
puts = weighted(
    (16, st.builds(pb.PutRequest, **_put, lease=mostly([0, 0, 0, 7], 99))),
    (2, st.builds(pb.PutRequest, key=keys, ignore_value=st.just(value=True), lease=mostly([0, 7], 8))),
    (2, st.builds(pb.PutRequest, **_put, ignore_lease=st.just(value=True))),
    (1, st.builds(pb.PutRequest, **_put, ignore_value=st.booleans(), ignore_lease=st.booleans(), lease=leases)),
)
deletes = st.builds(pb.DeleteRangeRequest, key=keys, range_end=few, prev_kv=st.booleans())


@st.composite
def compares(draw: st.DrawFn) -> pb.Compare:
    target = draw(st.integers(0, 4))
    compare = pb.Compare(
        key=draw(keys), range_end=draw(ends), target=target, result=draw(st.sampled_from([0, 1, 1, 2, 2, 3]))
    )
    number = draw(st.sampled_from([0, 0, 1, 2, 7]))
    revision = draw(mostly([0, *range(NEWEST - 12, NEWEST + 1)]))
    union = draw(mostly([target], 0, 3, None))
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


_leaf = weighted(
    (2, st.builds(lambda r: pb.RequestOp(request_range=r), ranges)),
    (4, st.builds(lambda r: pb.RequestOp(request_put=r), puts)),
    (1, st.builds(lambda r: pb.RequestOp(request_delete_range=r), deletes)),
)
_inner = _leaf
for _ in range(2):  # three levels of transactions
    _inner = weighted((4, _leaf), (1, st.builds(lambda t: pb.RequestOp(request_txn=t), _level(_inner))))
txns = _level(_inner)
compactions = st.builds(
    pb.CompactionRequest,
    revision=st.sampled_from([*range(NEWEST - 12, NEWEST + 2), -1]),
    physical=st.just(value=True),
)

ids = st.sampled_from([7, 7, 8, 9, 99])
lease_requests = st.one_of(
    st.builds(pb.LeaseGrantRequest, ID=ids, TTL=st.sampled_from([1000, 100_000, 9_000_000_000, 9_000_000_001])),
    st.builds(pb.LeaseRevokeRequest, ID=mostly([8, 9, 99], 7)),
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
    start_revision=st.sampled_from([*[0] * 10, *range(NEWEST - 12, NEWEST + 3), -1]),
    watch_id=st.sampled_from([0, 0, 0, 1, 5, -7]),
    prev_kv=st.booleans(),
    filters=st.lists(st.sampled_from([0, 1]), max_size=2),
    fragment=st.booleans(),
)
cancels = st.builds(
    lambda number: pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=number)),
    st.sampled_from([0, 1, 2, 5, 77]),
)
watch_requests = weighted(
    (3, st.builds(lambda request: pb.WatchRequest(create_request=request), creates)),
    (1, cancels),
)
Step = Message | Streamed | Watched
steps: st.SearchStrategy[list[Step]] = st.lists(
    weighted(
        (8, puts),
        (1, deletes),
        (6, ranges),
        (6, txns),
        (2, lease_requests),
        (1, compactions),
        (2, st.builds(Streamed, ranges)),
        (2, st.builds(Watched, st.integers(0, 1), watch_requests)),
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
