"""KV.RangeStream against KV.Range, on a node, on `brainctl serve` and on a real etcd (B2)."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.clock import ManualClock
from brainctl.errors import COMPACTED, EMPTY_KEY, FUTURE_REVISION, ApiError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.ranges import read_range
from brainctl.node.node import RANGE_STREAM, Node
from brainctl.node.services.kv.range_stream import FIRST_KEYS, fitted, range_stream
from tests.support.apis import api  # noqa: F401 - a fixture
from tests.support.async_view import SlowView
from tests.support.memory import MemoryBackend, MemoryView
from tests.support.rpc import Api, Refused

KV = "/etcdserverpb.KV/"
KEYS = 57


@pytest.fixture(scope="module")
def filled_api(api: Api) -> Api:  # noqa: F811
    """An API with keys."""
    for number in range(KEYS):
        api.call(KV + "Put", pb.PutRequest(key=b"k%03d" % number, value=b"v" * number))
    lease = api.call("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=1000)).ID
    api.call(KV + "Put", pb.PutRequest(key=b"k003", value=b"again", lease=lease))
    api.call(KV + "DeleteRange", pb.DeleteRangeRequest(key=b"k004"))
    return api


def of_all(**more: Any) -> pb.RangeRequest:
    return pb.RangeRequest(key=b"k", range_end=b"l", **more)


def stream(api: Api, request: pb.RangeRequest) -> list[pb.RangeResponse]:  # noqa: F811 - the fixture's name
    return [chunk.range_response for chunk in api.stream(KV + "RangeStream", [request], 10_000)]


REQUESTS = [
    of_all(),
    of_all(keys_only=True),
    of_all(count_only=True),
    of_all(count_only=True, limit=3),
    *(of_all(limit=limit) for limit in (1, 9, 10, 11, 29, 30, 31, 55, 56, 57, 1000, -1)),
    of_all(revision=30),
    of_all(revision=30, limit=12),
    of_all(revision=-1),
    of_all(sort_order=pb.RangeRequest.ASCEND),
    of_all(serializable=True),
    pb.RangeRequest(key=b"k003"),
    pb.RangeRequest(key=b"k004"),
    pb.RangeRequest(key=b"l", range_end=b"m"),
    pb.RangeRequest(key=b"l", range_end=b"k"),
    pb.RangeRequest(key=b"\0", range_end=b"\0"),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: " ".join(str(request).split()))
def test_b2_chunks_merge_to_the_response_of_a_range(filled_api: Api, request_: pb.RangeRequest) -> None:
    chunks = stream(filled_api, request_)
    assert all(not chunk.HasField("header") and not chunk.more and not chunk.count for chunk in chunks[:-1])
    merged = pb.RangeResponse()
    for chunk in chunks:
        merged.MergeFrom(chunk)
    assert merged == filled_api.call(KV + "Range", request_)


def test_b2_the_first_chunk_is_small_and_later_ones_grow(filled_api: Api) -> None:
    assert [len(chunk.kvs) for chunk in stream(filled_api, REQUESTS[0])] == [10, 20, 26]


REFUSED = [
    (pb.RangeRequest(), *EMPTY_KEY),
    (of_all(revision=1 << 40), *FUTURE_REVISION),
    (
        of_all(sort_order=pb.RangeRequest.DESCEND),
        Code.UNIMPLEMENTED,
        "RangeStream does not support custom sort orders",
    ),
    (
        of_all(sort_order=pb.RangeRequest.ASCEND, sort_target=pb.RangeRequest.MOD),
        Code.UNIMPLEMENTED,
        "RangeStream does not support custom sort orders",
    ),
    *(
        (
            of_all(**{name: 1}),
            Code.UNIMPLEMENTED,
            "RangeStream does not support revision filters",
        )
        for name in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision")
    ),
    (of_all(sort_order=9), Code.INVALID_ARGUMENT, "etcdserver: invalid sort option"),
]


@pytest.mark.parametrize(("request_", "code", "text"), REFUSED)
def test_b2_what_a_stream_cannot_do_is_refused(
    filled_api: Api,
    request_: pb.RangeRequest,
    code: Code,
    text: str,
) -> None:
    with pytest.raises(Refused) as refused:
        stream(filled_api, request_)
    assert (refused.value.code, refused.value.text) == (code, text)


def open_stream(backend: MemoryBackend, request: pb.RangeRequest) -> Iterator[pb.RangeResponse]:
    """The chunks, one at a time, so that a test can act between them."""
    chunks = Node(backend, ManualClock()).stream(RANGE_STREAM, request.SerializeToString())
    with asyncio.Runner() as runner:

        async def step() -> bytes | None:
            return await anext(chunks, None)

        while (body := runner.run(step())) is not None:
            yield pb.RangeStreamResponse.FromString(body).range_response


def filled() -> tuple[MemoryBackend, Node]:
    backend = MemoryBackend()
    node = Node(backend, ManualClock())
    for number in range(2 * FIRST_KEYS):
        node.call(KV + "Put", pb.PutRequest(key=b"k%03d" % number).SerializeToString(), lambda _: None)
    return backend, node


def test_b2_writes_after_the_first_chunk_are_not_seen() -> None:
    backend, node = filled()
    chunks = open_stream(backend, of_all())
    first = next(chunks)
    node.call(KV + "Put", pb.PutRequest(key=b"k999").SerializeToString(), lambda _: None)
    node.call(KV + "DeleteRange", pb.DeleteRangeRequest(key=b"k019").SerializeToString(), lambda _: None)
    (last,) = chunks
    assert [len(first.kvs), len(last.kvs), last.count] == [FIRST_KEYS, FIRST_KEYS, 2 * FIRST_KEYS]
    assert last.header.revision == backend.revision - 2


def test_b2_a_compaction_that_overtakes_the_stream_ends_it() -> None:
    backend, node = filled()
    chunks = open_stream(backend, of_all())
    next(chunks)
    node.call(KV + "Put", pb.PutRequest(key=b"k").SerializeToString(), lambda _: None)
    node.call(KV + "Compact", pb.CompactionRequest(revision=backend.revision).SerializeToString(), lambda _: None)
    with pytest.raises(ApiError) as refused:
        next(chunks)
    assert refused.value.status == COMPACTED


@pytest.mark.parametrize("request_", [of_all(), of_all(limit=11), of_all(count_only=True)])
def test_b2_over_a_network_the_chunks_are_the_same(request_: pb.RangeRequest) -> None:
    backend, _ = filled()
    assert asyncio.run(_all(NetworkBackend(backend.view), request_)) == list(open_stream(backend, request_))


class NetworkBackend(MemoryBackend):
    """A backend whose view is read over a network."""

    def __init__(self, view: MemoryView) -> None:
        super().__init__()
        self.inner = view
        self.view = SlowView(view)  # type: ignore[assignment]

    def range(self, request: pb.RangeRequest, reply: Callable[[Any], None]) -> None:
        reply(read_range(self.inner, request, self.header(self.inner.revision)))


async def _all(backend: MemoryBackend, request: pb.RangeRequest) -> list[pb.RangeResponse]:
    chunks = range_stream(backend, request.SerializeToString(), 1 << 20, lambda _: None)
    return [pb.RangeStreamResponse.FromString(chunk).range_response async for chunk in chunks]


def test_a_sort_target_without_an_order_leaves_the_keys_in_order() -> None:
    backend, _ = filled()
    chunks = list(open_stream(backend, of_all(sort_target=pb.RangeRequest.VALUE)))
    keys = [kv.key for chunk in chunks for kv in chunk.kvs]
    assert keys == sorted(set(keys))
    assert len(keys) == 2 * FIRST_KEYS


@given(keys=st.integers(1, 1 << 40), size=st.integers(0, 1 << 40), wanted=st.integers(1, 1 << 30))
def test_the_next_chunk_is_fitted(keys: int, size: int, wanted: int) -> None:
    taken = fitted(keys, size, wanted)
    assert taken >= 1
    assert taken == keys or (taken > keys) == (size < wanted)


@pytest.mark.parametrize("networked", [False, True])
def test_a_chunk_ends_by_its_bytes(networked: bool) -> None:
    """Large values behind many small ones: the small ones have made chunks of many keys."""
    backend = MemoryBackend()
    for number in range(400):
        put = pb.PutRequest(key=b"k%04d" % number, value=bytes(10_000) if number >= 300 else b"")
        backend.submit(lambda batch, request: batch.put(request), put, lambda _: None)
    chunk_bytes = 50_000

    async def chunks() -> list[int]:
        read = NetworkBackend(backend.view) if networked else backend
        found = range_stream(read, of_all().SerializeToString(), chunk_bytes, lambda _: None)
        return [len(chunk) async for chunk in found]

    sizes = asyncio.run(chunks())
    assert len(sizes) > 100 * 10_000 // chunk_bytes
    assert max(sizes) <= chunk_bytes + 1000
