"""A range is answered the same from memory and over a network, and the network reads no more than it needs."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion, marshal_kv
from brainctl.mvcc.ranges import answer_remotely, answer_steps
from brainctl.mvcc.steps import finish
from tests.support.async_view import SlowView
from tests.support.memory import MemoryView

KEYS = 12


def filled() -> MemoryView:
    """Keys a to l, some written twice, with values in another order than the keys."""
    view = MemoryView()
    for revision in range(2, KEYS + 8):
        key = b"%c" % (ord("a") + revision % KEYS)
        old = view.get(key)
        create, version = (old.create_revision, old.version + 1) if old is not None else (revision, 1)
        kv = marshal_kv(key, create, revision, version, b"%d" % (7 * revision % 13), 0)
        view.publish(Commit(revision, [KeyVersion(key, create, revision, version, 0, kv)]))
    return view


requests = st.builds(
    pb.RangeRequest,
    key=st.sampled_from([b"a", b"d", b"\0"]),
    range_end=st.sampled_from([b"", b"h", b"\0"]),
    limit=st.integers(0, KEYS + 1),
    sort_order=st.integers(0, 2),
    sort_target=st.integers(0, 4),
    keys_only=st.booleans(),
    count_only=st.booleans(),
    min_mod_revision=st.sampled_from([0, 10]),
    max_create_revision=st.sampled_from([0, 9]),
)


@given(request=requests, revision=st.integers(2, KEYS + 7))
def test_both_readers_give_the_same_bytes(request: pb.RangeRequest, revision: int) -> None:
    view = filled()
    remote = asyncio.run(answer_remotely(SlowView(view), request, b"", revision, partial(asyncio.sleep, 0)))
    assert remote == finish(answer_steps(view, request, b"", revision))


def test_a_limit_ends_the_reading_over_a_network() -> None:
    read: list[bytes] = []

    class Listed(SlowView):
        async def versions(self, start: bytes, end: bytes | None, revision: int) -> AsyncIterator[KeyVersion]:
            for version in self.inner.versions(start, end, revision):
                read.append(version.key)
                yield version

    view = filled()
    request = pb.RangeRequest(key=b"\0", range_end=b"\0", limit=3, keys_only=True)
    remote = answer_remotely(Listed(view), request, b"", view.revision, partial(asyncio.sleep, 0))
    answer = pb.RangeResponse.FromString(asyncio.run(remote))
    assert ([kv.key for kv in answer.kvs], answer.more, answer.count) == ([b"a", b"b", b"c"], True, KEYS)
    assert read == [b"a", b"b", b"c", b"d"]
