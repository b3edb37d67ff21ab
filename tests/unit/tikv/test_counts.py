"""Counts that are kept, and pages by bytes: right at every revision, and cheap by what TiKV is asked for."""

import asyncio
import random

import pytest

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.tikv import open_tikv_replica
from brainctl.tikv import counts
from brainctl.tikv import state_view as view
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.client import limits
from brainctl.tikv.errors import Failure
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.unit.tikv.calls import compact, put, read, send, state_of
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.test_replica import checkpoint

MANY = 6_000
PAGE = 200


def request(rng: random.Random) -> pb.PutRequest | pb.DeleteRangeRequest:
    key = b"%03d" % rng.randrange(300)
    if rng.random() < 0.7:
        return pb.PutRequest(key=key, value=b"v")
    return pb.DeleteRangeRequest(key=key, range_end=rng.choice([b"", b"%03d" % (int(key) + 10)]))


async def check(backend: TikvBackend, rng: random.Random) -> None:
    """What is counted at a state, now and at an older revision, is as many as are listed at it."""
    state = await state_of(backend)
    bounds = sorted(b"%03d" % rng.randrange(300) for _ in range(2))
    start, end = bounds[0], rng.choice([bounds[1] + b"\x00", bounds[0] + b"5", None])
    for revision in (0, max(1, state.revision - rng.randrange(40))):
        listed = [version.kv async for version in state.versions(start, end, revision)]
        assert await state.count(start, end, revision) == len(listed)
        limit = rng.randrange(1, 30)
        selection = await state.select(start, end, revision, limit)
        assert (selection.total, len(selection.parts) > 0) == (len(listed), bool(listed))


@pytest.mark.parametrize("journal", [10, 20_000])
def test_counts_are_right_under_writes_at_every_revision(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch, journal: int
) -> None:
    """In the process that writes and in one that follows; in small blocks, with more and with less remembered."""
    monkeypatch.setattr(counts, "JOURNAL", journal)
    monkeypatch.setattr(view, "BLOCK_KEYS", 4)
    for module in (view, counts):
        monkeypatch.setattr(module, "LARGEST_BLOCK", 16)
    monkeypatch.setattr(limits, "FIRST_KEY_PAGE", 4)
    monkeypatch.setattr(limits, "LARGEST_KEY_PAGE", 8)

    async def run() -> None:
        rng = random.Random(3)
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as follower:
            await asyncio.gather(*(send(backend, request(rng)) for _ in range(300)))
            for _ in range(15):
                writes = [send(backend, request(rng)) for _ in range(10)]
                await asyncio.gather(*(check(each, rng) for each in (backend, follower) for _ in range(3)))
                await asyncio.gather(*writes)
            known = backend._counts
            assert len(known._blocks) > 5
            assert all(low.end <= high.start for low, high in zip(known._blocks, known._blocks[1:], strict=False))
            assert [block.start for block in known._blocks] == known._starts

    asyncio.run(run())


def asked(backend: TikvBackend) -> tuple[int, int]:
    """How many keys, and pairs, of ranges TiKV has sent."""
    return backend._client.traffic.keys["scan_keys"], backend._client.traffic.keys["scan"]


def test_a_list_in_pages_reads_each_key_once(tikv: Playground, prefix: str, backend_of: OpenBackend) -> None:
    async def run() -> None:
        replica = await open_tikv_replica(tikv.url(prefix))
        await replica.take_over(checkpoint())
        kv = kv_pb2.KeyValue(create_revision=2, mod_revision=2, version=1, value=b"v" * 50).SerializeToString()
        kvs = [kv + kv_pb2.KeyValue(key=b"k%05d" % n).SerializeToString() for n in range(MANY)]
        await replica.import_base(kvs, 2, checkpoint())
        await replica.close()
        async with backend_of() as backend:
            # The first count reads the keys, the next reads none; a write in between moves it.
            assert (await read(backend, b"k", b"l", count_only=True)).count == MANY
            assert asked(backend) == (MANY, asked(backend)[1])
            await put(backend, b"k00000/new")
            before = asked(backend)
            assert (await read(backend, b"k", b"l", count_only=True)).count == MANY + 1
            page = await read(backend, b"k", b"l", limit=PAGE)
            assert (page.count, len(page.kvs)) == (MANY + 1, PAGE)
            assert asked(backend)[0] == before[0]
            assert asked(backend)[1] <= before[1] + 4 * PAGE
            # Of a whole list at one revision, in pages, while others write: each page tells how many follow.
            before = asked(backend)
            listed, start = list(page.kvs), page.kvs[-1].key + b"\x00"
            while page.more:
                await put(backend, b"k%05d/later" % len(listed))
                page = await read(backend, start, b"l", limit=PAGE, revision=3)
                assert page.count == MANY + 1 - len(listed)
                listed += page.kvs
                start = page.kvs[-1].key + b"\x00"
            assert len({kv.key for kv in listed}) == len(listed) == MANY + 1
            assert asked(backend)[0] == before[0]
            assert asked(backend)[1] <= before[1] + 4 * MANY
            # From anywhere at the newest revision: a block at each end is read, not all that is between.
            before = asked(backend)
            await read(backend, b"k01234", b"k05678", limit=1)
            assert asked(backend)[0] - before[0] < 4 * counts.BLOCK_KEYS

    asyncio.run(run())


def test_ranges_of_large_values_are_read_without_a_request_that_fails(backend_of: OpenBackend) -> None:
    """The package takes seconds to say that a reply is too large: a client begins with one pair."""

    async def run() -> None:
        async with backend_of() as backend:
            for number in range(6):
                await put(backend, b"large/%d" % number, bytes(1_400_000))
            await asyncio.gather(*(put(backend, b"small/%03d" % number) for number in range(300)))
        async with backend_of(Role.FOLLOWER) as fresh:
            assert len((await read(fresh, b"large/", b"large0")).kvs) == 6
            assert len((await read(fresh, b"small/", b"small0")).kvs) == 300
            assert len((await read(fresh, b"large/", b"large/3")).kvs) == 3
            traffic = fresh._client.traffic
            assert traffic.failures[Failure.REPLY_TOO_LARGE] == 0
            assert traffic.count("scan") < 40

    asyncio.run(run())


def test_a_copy_beside_the_log_is_noticed(tikv: Playground, prefix: str, backend_of: OpenBackend) -> None:
    """A migration's base copy is in no log: whoever has counted before counts anew."""

    async def run() -> None:
        kv = kv_pb2.KeyValue(create_revision=2, mod_revision=2, version=1).SerializeToString()
        replica = await open_tikv_replica(tikv.url(prefix))
        await replica.take_over(checkpoint())
        async with backend_of(Role.FOLLOWER) as reader:
            for number in range(3):
                heard = asyncio.Event()
                reader.subscribe(lambda _, heard=heard: heard.set())
                kvs = [kv + kv_pb2.KeyValue(key=b"k%d%d" % (number, n)).SerializeToString() for n in range(3)]
                await replica.import_base(kvs, 2, checkpoint())
                await asyncio.wait_for(heard.wait(), 120)
                assert (await read(reader, b"k", b"l", count_only=True)).count == 3 * (number + 1)
        await replica.close()

    asyncio.run(run())


@pytest.mark.parametrize("counted", [True, False], ids=["counted-between", "not-counted"])
def test_changes_that_a_compaction_removed_before_they_were_seen(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    """A process that follows misses them in the log, so what it has counted before is worth nothing."""
    monkeypatch.setattr("brainctl.tikv.succession.FOLLOW_SECONDS", 3600.0)

    async def run() -> None:
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as follower:
            await asyncio.gather(*(put(backend, b"k%d" % number) for number in range(5)))
            await follower._shown.catch_up(await state_of(follower))
            assert (await read(follower, b"k", b"l", count_only=True)).count == 5
            for number in range(5, 9):
                last = await put(backend, b"k%d" % number)
            await compact(backend, await put(backend, b"other"))
            await backend.defragment()
            if counted:
                assert (await read(follower, b"k", b"l", count_only=True)).count == 9
            await follower._shown.catch_up(await state_of(follower))
            assert follower.revision == last + 1
            assert (await read(follower, b"k", b"l", count_only=True)).count == 9
            await put(backend, b"k/new")
            assert (await read(follower, b"k", b"l", count_only=True)).count == 10

    asyncio.run(run())
