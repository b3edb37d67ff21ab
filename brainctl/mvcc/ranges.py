"""The meaning of a Range request, and the bytes of its response (etcd server/etcdserver/txn/range.go).

Two ways lead to a response. A plain request (key order, no filters, values wanted) is answered by joining stored
bytes. Any other one needs every version of its range: etcd ignores the limit while it scans for those, then filters,
sorts and cuts.

`needed` says what has to be read, and `arranged` makes the answer of it. Between them are two readers: `answer_steps`
over memory, in steps, and `answer_remotely` over a network. For example, of 1000 keys with the limit 10 and without
values:

    needed             Scan(limit=11): one more than wanted tells whether there are others
    the reader reads   11 versions, and since there are others, counts: 1000
    arranged           10 keys without values, more=true, count=1000
"""

from collections.abc import Awaitable, Callable, Iterable
from operator import attrgetter
from typing import NamedTuple

from brainctl.errors import COMPACTED, EMPTY_KEY, FUTURE_REVISION, INVALID_SORT_OPTION, ApiError
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.keyversion import KeyVersion, marshal_kv
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.sorting import sort
from brainctl.mvcc.steps import Steps, cost, finish, gather, in_pieces, in_turns, release
from brainctl.mvcc.view import AsyncView, Ranges, Selection, View
from brainctl.wire.varint import varint

_KEY, _VERSION, _CREATE, _MOD, _VALUE = 0, 1, 2, 3, 4
_NONE, _ASCEND, _DESCEND = 0, 1, 2
_NO_BOUND = 1 << 63


def bounds(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
    r"""Return the half-open range that `key` and `range_end` of a request name.

    An empty end means the key alone, an end of b"\0" means no upper bound (None).
    """
    if not range_end:
        return key, key + b"\0"
    return key, None if range_end == b"\0" else range_end


def check_range(request: pb.RangeRequest) -> None:
    """Check that a request has a key, and a sort order and target that etcd knows.

    Raises:
        ApiError: The key is empty, or the sort order or target is unknown.
    """
    if not request.key:
        raise ApiError(EMPTY_KEY)
    if not (0 <= request.sort_order <= _DESCEND and 0 <= request.sort_target <= _VALUE):
        raise ApiError(INVALID_SORT_OPTION)


def check_revision(revision: int, current: int, compacted: int) -> None:
    """Refuse a revision that is in the future or compacted; 0 and less mean the newest, which can always be read.

    Raises:
        ApiError: The revision is above `current`, or below `compacted`.
    """
    if revision > current:
        raise ApiError(FUTURE_REVISION)
    if 0 < revision < compacted:
        raise ApiError(COMPACTED)


def has_filters(request: pb.RangeRequest) -> bool:
    """Return whether a request leaves out keys by their revisions."""
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def is_unsorted(request: pb.RangeRequest) -> bool:
    """Return whether a request asks for no order, or for that of the keys."""
    return request.sort_order == _NONE or (request.sort_order == _ASCEND and request.sort_target == _KEY)


def is_plain(request: pb.RangeRequest) -> bool:
    """Return whether the answer is the first `limit` keys in key order, unfiltered and with their values."""
    return not (
        request.keys_only or request.sort_order == _DESCEND or request.sort_target != _KEY or has_filters(request)
    )


def response(header: bytes, parts: list[bytes], count: int, *, more: bool) -> bytes:
    """Return a marshalled RangeResponse.

    Args:
        header: Its field 1, with tag and length.
        parts: Byte strings that joined are its field 2, `kvs`.
        count: All keys in the range, whatever the limit.
        more: Whether the limit has cut keys off.
    """
    tail = (b"\x18\x01" if more else b"") + (b"\x20" + varint(count) if count else b"")
    return b"".join([header, *parts, tail])


def plain_response(header: bytes, request: pb.RangeRequest, selection: Selection) -> bytes:
    """Return the response to a plain request, from the first `limit` keys of its range."""
    more = 0 < request.limit < selection.total
    return response(header, selection.parts, selection.total, more=more)


class Count(NamedTuple):
    """The answer needs the number of keys of a range."""

    start: bytes
    end: bytes | None
    revision: int


class Select(NamedTuple):
    """The answer needs the first keys of a range, and the number of all."""

    start: bytes
    end: bytes | None
    revision: int
    limit: int
    """0 for all keys."""


class Scanned(NamedTuple):
    """The versions that were read for a `Scan`."""

    versions: list[KeyVersion]
    left_out: int = 0
    """The versions that `Scan.keep` did not pass."""

    @property
    def total(self) -> int:
        """Return how many versions were read."""
        return len(self.versions) + self.left_out


class Scan(NamedTuple):
    """The answer needs the versions of a range themselves."""

    start: bytes
    end: bytes | None
    revision: int
    limit: int
    """The most of them; 0 for all."""
    keep: Callable[[KeyVersion], bool] | None
    """The filter of the request; None when it has none."""

    def has_more(self, scanned: Scanned) -> bool:
        """Return whether the limit has ended the scan, so that the keys of the range must be counted."""
        return 0 < self.limit <= len(scanned.versions)


def needed(request: pb.RangeRequest, revision: int) -> Count | Select | Scan:
    """Return what an answer needs to be read from a store, whether that is in memory or over a network."""
    start, end = bounds(request.key, request.range_end)
    if request.count_only:
        return Count(start, end, revision)
    if is_plain(request):
        return Select(start, end, revision, max(request.limit, 0))
    keep = _filter(request) if has_filters(request) else None
    return Scan(start, end, revision, request.limit + 1 if _cuts_first(request) else 0, keep)


def _filter(request: pb.RangeRequest) -> Callable[[KeyVersion], bool]:
    """Return a function that tells whether a version passes the filters of a request."""
    oldest, newest = request.min_mod_revision, request.max_mod_revision or _NO_BOUND
    first, last = request.min_create_revision, request.max_create_revision or _NO_BOUND
    return lambda v: oldest <= v.mod_revision <= newest and first <= v.create_revision <= last


def _cuts_first(request: pb.RangeRequest) -> bool:
    """Return whether etcd reads only the first `limit` keys of the range, and one more.

    The one more tells whether there are others. etcd takes a sort without an order for none when it scans, and for an
    ascending one when it sorts.
    """
    return request.limit > 0 and not has_filters(request) and (request.sort_order == _NONE or is_unsorted(request))


def arranged(header: bytes, request: pb.RangeRequest, found: list[KeyVersion], count: int) -> Steps[bytes]:
    """Sort and cut the versions found, and return, in steps, the response; `count` is the keys in the range."""
    if _cuts_first(request):
        found = found[: request.limit + 1]
    if request.sort_order == _DESCEND or request.sort_target != _KEY:
        found = yield from sort(found, _SORT_KEYS[request.sort_target], reverse=request.sort_order == _DESCEND)
    more = 0 < request.limit < len(found)
    if more:
        found = found[: request.limit]
    parts: list[bytes] = []
    for piece in in_pieces(found):
        parts.append(b"".join(framed([shown(version, request) for version in piece])))
        yield cost(piece)
    return response(header, parts, count, more=more)


def shown(version: KeyVersion, request: pb.RangeRequest) -> bytes:
    """Return the marshalled KeyValue of a version as a request wants it: whole, or without its value."""
    return _key_only(version, request) if request.keys_only else version.kv


def value_of(version: KeyVersion) -> bytes:
    """Return the value that a version holds."""
    return kv_pb2.KeyValue.FromString(version.kv).value


def _key_only(version: KeyVersion, request: pb.RangeRequest) -> bytes:
    """Return the marshalled KeyValue of a version without its value.

    etcd 3.7 answers keys_only from its index, which knows no leases, except where the values are needed to sort.
    """
    lease = version.lease if request.sort_target == _VALUE else 0
    return marshal_kv(version.key, version.create_revision, version.mod_revision, version.version, b"", lease)


_SORT_KEYS: list[Callable[[KeyVersion], int | bytes]] = [
    attrgetter("key"),
    attrgetter("version"),
    attrgetter("create_revision"),
    attrgetter("mod_revision"),
    value_of,
]


def range_steps(view: View, request: pb.RangeRequest, header: bytes) -> Steps[bytes]:
    """Answer a request that `check_range` has accepted, in steps, from a view as it is at the first step.

    Writes between the steps do not change the answer.

    Raises:
        ApiError: The revision of the request is in the future or compacted.
    """
    check_revision(request.revision, view.revision, view.compacted)
    return (yield from answer_steps(view, request, header, request.revision if request.revision > 0 else view.revision))


def answer_steps(source: Ranges, request: pb.RangeRequest, header: bytes, revision: int) -> Steps[bytes]:
    """Answer a request that `check_range` has accepted, in steps, at a revision that can be read."""
    read = needed(request, revision)
    match read:
        case Count():
            return response(header, [], (yield from source.count_steps(*read)), more=False)
        case Select():
            return plain_response(header, request, (yield from source.select_steps(*read)))
    start, end, _, limit, keep = read
    stretches = source.stretches(start, end, revision)
    scanned = (yield from _filtered(stretches, keep)) if keep else Scanned((yield from gather(stretches, limit)))
    count = scanned.total
    if read.has_more(scanned):
        count = yield from source.count_steps(start, end, revision)
    answer = yield from arranged(header, request, scanned.versions, count)
    yield from release(scanned.versions)
    return answer


async def answer_remotely(
    source: AsyncView, request: pb.RangeRequest, header: bytes, revision: int, pause: Callable[[], Awaitable[None]]
) -> bytes:
    """Answer a request that `check_range` has accepted over a network, at a revision that can be read.

    `pause` lets others go on between two slices of the work that follows the reading.
    """
    read = needed(request, revision)
    match read:
        case Count():
            return response(header, [], await source.count(*read), more=False)
        case Select():
            return plain_response(header, request, await source.select(*read))
    start, end, _, limit, keep = read
    scanned, left_out = Scanned([]), 0
    async for version in source.versions(start, end, revision):
        if keep is not None and not keep(version):
            left_out += 1
            continue
        scanned.versions.append(version)
        if len(scanned.versions) == limit:
            break
    scanned = Scanned(scanned.versions, left_out)
    count = await source.count(start, end, revision) if read.has_more(scanned) else scanned.total
    return await in_turns(arranged(header, request, scanned.versions, count), pause)


def _filtered(stretches: Iterable[list[KeyVersion]], keep: Callable[[KeyVersion], bool]) -> Steps[Scanned]:
    """Return, in steps, the versions that pass a filter, and how many do not."""
    found: list[KeyVersion] = []
    count = 0
    for stretch in stretches:
        found += filter(keep, stretch)
        count += len(stretch)
        yield cost(stretch)
    return Scanned(found, count - len(found))


def read_range(view: View, request: pb.RangeRequest, header: bytes) -> bytes:
    """Answer a request that `check_range` has accepted from a view.

    Raises:
        ApiError: The revision of the request is in the future or compacted.
    """
    return finish(range_steps(view, request, header))
