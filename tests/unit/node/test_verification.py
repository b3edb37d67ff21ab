"""The Verification service: hashes of ranges over every kind of view, in calls of bounded work."""

import asyncio
from typing import Any

import pytest

from brainctl.errors import COMPACTED, EMPTY_KEY, FUTURE_REVISION, ApiError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import verification_pb2 as vpb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.state_hash import leaf, range_hash
from brainctl.node.services import verification
from brainctl.node.services.verification import HASH_RANGE, VerificationService
from tests.support.async_view import SlowView
from tests.support.memory import MemoryBackend

KEYS = 1_300
ALL = {"key": b"\0", "range_end": b"\0"}


class Remote:
    """A backend whose view is behind a network."""

    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend
        self.view = SlowView(backend.view)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class World:
    def __init__(self, *, remote: bool = False) -> None:
        self.backend = MemoryBackend()
        seen: Any = Remote(self.backend) if remote else self.backend
        self.handler = VerificationService(seen).handlers()[HASH_RANGE]
        for number in range(KEYS):
            self.put(b"/k/%05d" % number)

    def put(self, key: bytes, value: bytes = b"v") -> None:
        self.backend.submit(Batch.put, pb.PutRequest(key=key, value=value), lambda _: None)

    def ask(self, **fields: object) -> vpb.HashRangeResponse:
        answers: list[object] = []
        request = vpb.HashRangeRequest(**fields)  # type: ignore[arg-type]

        async def ask() -> None:
            self.handler(request.SerializeToString(), answers.append)
            while self.backend.work:
                await self.backend.work.pop()

        asyncio.run(ask())
        (answer,) = answers
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return vpb.HashRangeResponse.FromString(answer)

    def hash(self, start: bytes, end: bytes | None, revision: int = 0) -> bytes:
        versions = list(self.backend.view.versions(start, end, revision))
        return range_hash(b"".join(leaf(version.kv).digest() for version in versions)).digest()


@pytest.fixture(params=[False, True], ids=["here", "remote"])
def world(request: pytest.FixtureRequest) -> World:
    return World(remote=request.param)


def test_parts_follow_one_another_and_hash_what_is_in_them(world: World) -> None:
    found = world.ask(**ALL, keys=500)
    assert [part.keys for part in found.parts] == [500, 500, KEYS - 1000]
    assert (found.parts[-1].end, found.more) == (b"\0", False)
    assert found.header.revision == KEYS + 1
    start = b"\0"
    for part in found.parts:
        assert part.hash == world.hash(start, None if part.end == b"\0" else part.end)
        start = part.end


def test_a_call_is_bounded_and_the_next_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "CALL_KEYS", 600)
    whole: list[vpb.RangePart] = []
    place, calls = b"\0", 0
    while True:
        found = world.ask(key=place, range_end=b"\0", keys=100)
        whole += found.parts
        calls += 1
        if not found.more:
            break
        place = found.parts[-1].end
    assert calls > 1
    assert sum(part.keys for part in whole) == KEYS
    start = b"\0"
    for part in whole:
        assert part.hash == world.hash(start, None if part.end == b"\0" else part.end)
        start = part.end


def test_it_hashes_the_parts_that_another_has_cut(world: World) -> None:
    cuts = [vpb.RangePart(end=end, bytes=1 << 20) for end in (b"/k/00003", b"/k/00900", b"\0")]
    found = world.ask(**ALL, cuts=cuts)
    assert [part.keys for part in found.parts] == [3, 897, KEYS - 900]
    assert found.parts[1].hash == world.hash(b"/k/00003", b"/k/00900")
    few = [vpb.RangePart(end=b"/k/00900", bytes=10), vpb.RangePart(end=b"\0", bytes=1 << 20)]
    skipped = world.ask(**ALL, cuts=few)
    assert (skipped.parts[0].hash, skipped.parts[1].hash) == (b"", world.hash(b"/k/00900", None))


def test_it_reads_at_the_revision(world: World) -> None:
    before = world.ask(**ALL, keys=2000).parts[0].hash
    world.put(b"/k/00007", b"new")
    assert world.ask(**ALL, keys=2000).parts[0].hash != before
    assert world.ask(**ALL, keys=2000, revision=KEYS + 1).parts[0].hash == before


def test_a_revision_that_is_not_there_is_refused_as_by_etcd(world: World) -> None:
    with pytest.raises(ApiError) as refused:
        world.ask(**ALL, keys=10, revision=KEYS + 2)
    assert refused.value.status == FUTURE_REVISION
    world.backend.submit(Batch.compact, pb.CompactionRequest(revision=100), lambda _: None)
    with pytest.raises(ApiError) as refused:
        world.ask(**ALL, keys=10, revision=99)
    assert refused.value.status == COMPACTED


@pytest.mark.parametrize(
    "fields",
    [
        {"key": b"a", "range_end": b"z"},
        {"key": b"a", "range_end": b"z", "keys": -1},
        {"key": b"a", "range_end": b"z", "cuts": [vpb.RangePart(end=b"y")]},
        {"key": b"a", "range_end": b"z", "cuts": [vpb.RangePart(end=end) for end in (b"m", b"c", b"z")]},
        {"key": b"m", "range_end": b"z", "cuts": [vpb.RangePart(end=b"a"), vpb.RangePart(end=b"z")]},
        {"key": b"m", "range_end": b"\0", "cuts": [vpb.RangePart(end=b"\0"), vpb.RangePart(end=b"\0")]},
        {"key": b"m", "cuts": [vpb.RangePart(end=b"z")]},
    ],
)  # fmt: skip
def test_a_request_that_describes_no_parts_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ApiError) as refused:
        World().ask(**fields)
    assert refused.value.status.code is Code.INVALID_ARGUMENT


def test_a_request_without_a_key_is_refused() -> None:
    with pytest.raises(ApiError) as refused:
        World().ask(range_end=b"\0", keys=1)
    assert refused.value.status == EMPTY_KEY
