"""KV.RangeStream: a range in chunks that merge to the response of KV.Range (etcd server/etcdserver/v3_server.go).

All chunks are read at one revision, that of the store when the request arrived. A chunk is about as large as the
largest request; only the last one has a header, `more` and the count. The keys are always in order: a sort target
without an order sorts each chunk in etcd 3.7.3, which then goes on after the wrong key and sends keys twice.

Example: 1000 keys with values of 100 KB, chunks of 1.5 MiB. The first chunk has FIRST_KEYS = 10 keys, about 1 MB, so
the next has 10 as well (`fitted`). With values of 1 KB the number would double from chunk to chunk instead: 10, 20, 40,
...
"""

from collections.abc import AsyncIterator, Callable

from google.protobuf.message import DecodeError

from brainctl.errors import COMPACTED, ApiError, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import ranges
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.view import AsyncView, View
from brainctl.node.backend import Backend
from brainctl.node.fresh_revision import fresh_revision
from brainctl.node.handler import MALFORMED
from brainctl.wire.varint import varint

FIRST_KEYS = 10
"""The most keys of the first chunk; the number of later ones is fitted to the size."""
NO_SORT = Status(Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders")
NO_FILTERS = Status(Code.UNIMPLEMENTED, "RangeStream does not support revision filters")


async def range_stream(
    backend: Backend, body: bytes, chunk_bytes: int, admit: Callable[[pb.RangeRequest], None]
) -> AsyncIterator[bytes]:
    """Yield the marshalled RangeStreamResponses to a marshalled RangeRequest.

    Args:
        backend: The store.
        body: The marshalled RangeRequest.
        chunk_bytes: The size of a chunk, in bytes of keys and values; a chunk has at least one key.
        admit: Is called before each chunk and may raise ApiError: permissions can be withdrawn on the way.

    Raises:
        ApiError: The request is malformed, sorted or filtered, or not permitted, or a compaction overtook the stream.
    """
    request = _parse(body)
    admit(request)
    now = await fresh_revision(backend, request.key, request.revision)
    view = backend.view
    revision = request.revision if request.revision > 0 else now
    start, end = ranges.bounds(request.key, request.range_end)
    if request.count_only:
        total = await _count(view, start, end, revision)
        yield _chunk(ranges.response(backend.header(now), [], total, more=False))
        return
    left = request.limit if request.limit > 0 else 1 << 63
    keys = FIRST_KEYS
    sent = 0
    while True:
        taken = _Taken(min(keys, left), chunk_bytes)
        await _collect(view, start, end, revision, taken)
        kvs = [ranges.shown(version, request) for version in taken.versions]
        sent += len(kvs)
        left -= len(kvs)
        start = taken.following or start
        if taken.following is None or not left:
            more = taken.following is not None
            total = sent + (await _count(view, start, end, revision) if more else 0)
            yield _chunk(ranges.response(backend.header(now), framed(kvs), total, more=more))
            return
        chunk = _chunk(ranges.response(b"", framed(kvs), 0, more=False))
        keys = fitted(len(kvs), len(chunk), chunk_bytes)
        yield chunk
        admit(request)
        if revision < backend.compacted:
            raise ApiError(COMPACTED)


async def range_page(backend: Backend, request: pb.RangeRequest, size: int) -> bytes:
    """Return the marshalled response to a plain range with a limit, without a count.

    It has fewer keys than the limit when these have more than `size` bytes.

    Raises:
        ApiError: The revision is compacted or in the future.
    """
    now = await fresh_revision(backend, request.key, request.revision)
    revision = request.revision if request.revision > 0 else now
    start, end = ranges.bounds(request.key, request.range_end)
    taken = _Taken(request.limit, size)
    await _collect(backend.view, start, end, revision, taken)
    if revision < backend.compacted:
        raise ApiError(COMPACTED)
    kvs = [ranges.shown(version, request) for version in taken.versions]
    return ranges.response(backend.header(now), framed(kvs), len(kvs), more=taken.following is not None)


def fitted(keys: int, size: int, wanted: int) -> int:
    """Return how many keys to take next, at least 1, when `keys` keys came to `size` bytes and `wanted` are wanted."""
    if size * 2 < wanted:
        return keys * 2
    return max(keys // 2, 1) if size > wanted * 2 else keys


def _parse(body: bytes) -> pb.RangeRequest:
    """Return the parsed request.

    Raises:
        ApiError: It is malformed, sorted or filtered.
    """
    try:
        request = pb.RangeRequest.FromString(body)
    except DecodeError as error:
        raise ApiError(MALFORMED) from error
    ranges.check_range(request)
    if not ranges.is_unsorted(request):
        raise ApiError(NO_SORT)
    if ranges.has_filters(request):
        raise ApiError(NO_FILTERS)
    return request


def _chunk(response: bytes) -> bytes:
    """Return a marshalled RangeStreamResponse: field 1 is the RangeResponse."""
    return b"\n%b%b" % (varint(len(response)), response)


class _Taken:
    """The first versions of a range, up to a limit of keys and of bytes."""

    def __init__(self, limit: int, size: int) -> None:
        self.versions: list[KeyVersion] = []
        self.following: bytes | None = None
        """The key of the first version that does not fit; None when all fit."""
        self._limit = limit
        self._left = size

    def add(self, version: KeyVersion) -> bool:
        """Take the next version; return False when it does not fit. The first one always fits."""
        self._left -= len(version.kv)
        if self.versions and (len(self.versions) >= self._limit or self._left < 0):
            self.following = version.key
            return False
        self.versions.append(version)
        return True


async def _collect(view: View | AsyncView, start: bytes, end: bytes | None, revision: int, taken: _Taken) -> None:
    """Collect the versions of a range until one does not fit."""
    if view.remote:
        async for version in view.versions(start, end, revision):
            if not taken.add(version):
                return
        return
    for version in view.versions(start, end, revision):
        if not taken.add(version):
            return


async def _count(view: View | AsyncView, start: bytes, end: bytes | None, revision: int) -> int:
    """Return the number of keys of a range at a revision."""
    return await view.count(start, end, revision) if view.remote else view.count(start, end, revision)
