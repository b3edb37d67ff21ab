"""What asks for much is done in slices: each is small, and the answer is that of one moment, whatever is written
meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from brainctl.clock import ManualClock
from brainctl.engine.engine import Engine
from brainctl.engine.options import EngineOptions
from brainctl.errors import ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import lessor
from brainctl.mvcc.hashkv import hash_kv
from brainctl.mvcc.steps import SLICE_KEYS, STEP_KEYS
from brainctl.node import slices
from brainctl.node.local.backend import LocalBackend, open_local
from brainctl.node.node import Node

KEYS = 5000
"""Several slices, and more than a commit may have that is shown in one."""
KV, LEASE = "/etcdserverpb.KV/", "/etcdserverpb.Lease/"
RANGE = {"key": b"k", "range_end": b"l"}
LARGEST = 3 * SLICE_KEYS
"""A slice ends with the first step that is beyond its bound, and what a step undoes and drops counts too."""


class Store:
    """A node in this process."""

    def __init__(self, directory: Path) -> None:
        engine = Engine.open(directory, options=EngineOptions(cache_bytes=1 << 16))
        self.backend: LocalBackend = open_local(engine, asyncio.get_running_loop())
        self.node = Node(self.backend, ManualClock())

    def start(self, path: str, request: Any) -> asyncio.Future[Any]:
        """Begin a call; its marshalled response, or its error."""
        answer: asyncio.Future[bytes | BrainctlError] = asyncio.get_running_loop().create_future()
        self.node.call(path, request.SerializeToString(), answer.set_result)
        return answer

    async def call(self, path: str, request: Any, kind: Any) -> Any:
        """A call; its response."""
        answer = await self.start(path, request)
        assert isinstance(answer, bytes), answer
        return kind.FromString(answer)

    async def put(self, key: bytes, value: bytes = b"new", lease: int = 0) -> int:
        """Put a key; the revision."""
        response = await self.call(f"{KV}Put", pb.PutRequest(key=key, value=value, lease=lease), pb.PutResponse)
        return int(response.header.revision)

    async def fill(self, lease: int = 0, each: int = 1) -> None:
        """Put KEYS keys, `each` in a transaction."""
        puts = [pb.PutRequest(key=b"k%06d" % number, value=b"old", lease=lease) for number in range(KEYS)]
        for wave in range(0, KEYS, 2000):
            waiting = [
                self.start(
                    f"{KV}Txn",
                    pb.TxnRequest(success=[pb.RequestOp(request_put=put) for put in puts[at : at + each]]),
                )
                for at in range(wave, min(wave + 2000, KEYS), each)
            ]
            for answer in waiting:
                assert isinstance(await answer, bytes)


def run(tmp_path: Path, test: Callable[[Store], Awaitable[None]]) -> None:
    """Run a test on a store that was never written."""

    async def main() -> None:
        store = Store(tmp_path)
        try:
            await test(store)
        finally:
            await store.node.close()

    asyncio.run(main())


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that comes soon."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what it waits for says nothing
            await asyncio.sleep(0.001)


RANGES = {
    "whole": {},
    "limited": {"limit": 3000},
    "keys only": {"keys_only": True},
    "keys only, limited": {"keys_only": True, "limit": 3000},
    "filtered": {"min_mod_revision": 100, "max_create_revision": KEYS // 2 - 50},
    "by value": {"sort_target": pb.RangeRequest.VALUE, "sort_order": pb.RangeRequest.DESCEND, "limit": 2500},
    "by version": {"sort_target": pb.RangeRequest.VERSION, "sort_order": pb.RangeRequest.ASCEND},
    "backwards": {"sort_order": pb.RangeRequest.DESCEND},
    "old": {"revision": KEYS // 2 - 500},
    "old, limited": {"revision": KEYS // 2 - 500, "limit": 1500},
    "old and filtered": {"revision": KEYS // 2 - 500, "min_create_revision": 2},
}


@pytest.mark.parametrize("undo", [True, False], ids=["undo", "no undo"])
def test_a_long_list_is_that_of_one_moment(tmp_path: Path, undo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not undo:  # as for what lies too far back
        monkeypatch.setattr("brainctl.engine.read.undo_log.UndoLog.since", lambda *_: None)

    async def test(store: Store) -> None:
        await store.fill(each=2)
        view = store.backend.view
        monkeypatch.setattr(store.backend.slices, "_schedule", lambda: None)  # the test says when who has a turn
        wanted = {}
        for name, fields in RANGES.items():
            request = pb.RangeRequest(**RANGE, **fields)
            wanted[name] = request, whole(view.versions(b"k", b"l", request.revision), request)
        as_transactions = {
            name: store.start(f"{KV}Txn", pb.TxnRequest(success=[pb.RequestOp(request_range=request)]))
            for name, (request, _) in wanted.items()
        }
        lists = {name: store.start(f"{KV}Range", request) for name, (request, _) in wanted.items()}
        assert len(store.backend.slices) == 2 * len(RANGES)
        writes = 0
        while len(store.backend.slices):
            store.backend.slices._turn()
            await store.put(b"k%06d" % (KEYS - 1 - writes * 37 % KEYS))  # which is read last
            await store.put(b"k%06d+" % writes)
            await store.call(
                f"{KV}DeleteRange",
                pb.DeleteRangeRequest(key=b"k%06d" % (KEYS - 2 - writes * 91 % KEYS)),
                pb.DeleteRangeResponse,
            )
            if writes == 5:
                compact = pb.CompactionRequest(revision=store.backend.revision, physical=True)
                await store.call(f"{KV}Compact", compact, pb.CompactionResponse)
                await store.backend.defragment()
            writes += 1
        assert writes > 20
        for name, (_, keys) in wanted.items():
            response = pb.RangeResponse.FromString(await lists[name])
            assert [kv.key for kv in response.kvs] == keys, name
            txn = pb.TxnResponse.FromString(await as_transactions[name])
            assert txn.responses[0].response_range.kvs == response.kvs, name
            assert txn.responses[0].response_range.count == response.count, name
        assert store.backend.slices.largest <= LARGEST

    run(tmp_path, test)


def whole(versions: Any, request: pb.RangeRequest) -> list[bytes]:
    """The keys of an answer, found by the simplest way."""
    found = [version for version in versions if version.mod_revision >= request.min_mod_revision]
    found = [v for v in found if v.create_revision >= request.min_create_revision]
    found = [v for v in found if v.create_revision <= (request.max_create_revision or 1 << 62)]
    if request.sort_target == pb.RangeRequest.KEY and request.sort_order == pb.RangeRequest.DESCEND:
        found.reverse()
    return [version.key for version in found][: request.limit or None]


def test_a_count_at_an_old_revision_is_sliced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainctl.engine.read.undo_log.UndoLog.since", lambda *_: None)

    async def test(store: Store) -> None:
        await store.fill()
        for revision in (3, KEYS - 1500):  # far: the range is walked; near: the log is
            answer = store.start(f"{KV}Range", pb.RangeRequest(**RANGE, count_only=True, revision=revision))
            assert not answer.done()
            await store.put(b"k%06d+" % revision)
            assert pb.RangeResponse.FromString(await answer).count == revision - 1
        assert store.backend.slices.largest <= LARGEST

    run(tmp_path, test)


def test_ranges_of_a_transaction_read_no_more_than_they_show(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.fill()
        limited = pb.RequestOp(request_range=pb.RangeRequest(**RANGE, limit=1))
        counted = pb.RequestOp(request_range=pb.RangeRequest(**RANGE, count_only=True))
        put = pb.RequestOp(request_put=pb.PutRequest(key=b"k000000+"))
        for success in ([limited] * 64 + [counted] * 64, [limited] * 63 + [put] + [counted] * 64):
            txn = await store.call(f"{KV}Txn", pb.TxnRequest(success=success), pb.TxnResponse)
            found = [op.response_range for op in txn.responses if op.HasField("response_range")]
            assert [len(one.kvs) for one in found] == [1] * (len(found) - 64) + [0] * 64
            assert {one.count for one in found} <= {KEYS, KEYS + 1}
            assert found[-1].count == KEYS + (put in success)
        assert store.backend.slices.largest < 1000

    run(tmp_path, test)


def test_a_sliced_delete_is_one_revision_and_writes_wait_for_it(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.fill()
        before = store.backend.revision
        early = store.start(f"{KV}Put", pb.PutRequest(key=b"k000001", value=b"early"))
        deletion = store.start(f"{KV}DeleteRange", pb.DeleteRangeRequest(**RANGE, prev_kv=True))
        puts = [store.start(f"{KV}Put", pb.PutRequest(key=b"k%06d+" % number)) for number in range(50)]
        second = store.start(f"{KV}DeleteRange", pb.DeleteRangeRequest(**RANGE))
        late = store.start(f"{KV}Put", pb.PutRequest(key=b"k", value=b"late"))
        seen = set()
        while not late.done():
            count = pb.RangeResponse.FromString(
                await store.start(f"{KV}Range", pb.RangeRequest(**RANGE, count_only=True))
            )
            seen.add((count.header.revision, count.count))
            await asyncio.sleep(0)
        response = pb.DeleteRangeResponse.FromString(await deletion)
        assert response.deleted == KEYS
        assert [kv.key for kv in response.prev_kvs] == [b"k%06d" % number for number in range(KEYS)]
        assert response.prev_kvs[1].value == b"early"
        assert response.header.revision == before + 2
        assert pb.PutResponse.FromString(await early).header.revision == before + 1
        revisions = [pb.PutResponse.FromString(await put).header.revision for put in puts]
        assert revisions == [before + 3 + number for number in range(50)]
        assert pb.DeleteRangeResponse.FromString(await second).deleted == 50
        assert {count for revision, count in seen if revision <= before + 1} <= {KEYS}
        assert {count for revision, count in seen if revision == before + 2} <= {0}
        (kv,) = pb.RangeResponse.FromString(await store.start(f"{KV}Range", pb.RangeRequest(**RANGE))).kvs
        assert (kv.key, kv.value) == (b"k", b"late")
        events = list(store.backend.view.history(before + 2, before + 2))
        assert [len(one.changes) for one in events] == [KEYS]
        assert store.backend.slices.largest <= LARGEST

    run(tmp_path, test)


def test_a_long_write_that_is_refused_lets_the_others_go_on(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.fill()
        impossible = [
            pb.RequestOp(request_range=pb.RangeRequest(**RANGE)),
            pb.RequestOp(request_put=pb.PutRequest(key=b"k", lease=77)),
        ]
        for _ in range(2):
            refused = store.start(f"{KV}Txn", pb.TxnRequest(success=impossible))
            put = store.start(f"{KV}Put", pb.PutRequest(key=b"a"))
            assert isinstance(await refused, ApiError)
            assert isinstance(await put, bytes)

    run(tmp_path, test)


def test_a_lease_with_many_keys_is_revoked_in_slices(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        granted = await store.call(
            f"{LEASE}LeaseGrant", pb.LeaseGrantRequest(ID=7, TTL=lessor.MIN_TTL), pb.LeaseGrantResponse
        )
        assert granted.ID == 7
        await store.fill(lease=7, each=100)
        before = store.backend.revision
        revoked = store.start(f"{LEASE}LeaseRevoke", pb.LeaseRevokeRequest(ID=7))
        moved = store.start(f"{KV}Put", pb.PutRequest(key=b"k000003"))
        assert pb.LeaseRevokeResponse.FromString(await revoked).header.revision == before + 1
        assert isinstance(await moved, bytes)
        kvs = pb.RangeResponse.FromString(await store.start(f"{KV}Range", pb.RangeRequest(**RANGE))).kvs
        assert [kv.key for kv in kvs] == [b"k000003"]
        assert store.backend.slices.largest <= LARGEST

    run(tmp_path, test)


@pytest.mark.parametrize("path", [f"{KV}DeleteRange", f"{LEASE}LeaseRevoke"])
def test_a_turn_deletes_no_more_keys_than_a_step(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To evaluate, lay out or show a delete takes longer, key by key, than to read: a turn does one step of it."""
    request = pb.DeleteRangeRequest(**RANGE) if path.startswith(KV) else pb.LeaseRevokeRequest(ID=7)

    async def test(store: Store) -> None:
        grant = pb.LeaseGrantRequest(ID=7, TTL=lessor.MIN_TTL)
        await store.call(f"{LEASE}LeaseGrant", grant, pb.LeaseGrantResponse)
        await store.fill(lease=7, each=100)
        work = store.backend.slices
        monkeypatch.setattr(work, "_schedule", lambda: None)  # the test says when there is a turn
        changes = store.backend.commits._batch.commit.changes
        engine = store.backend.engine
        answer = store.start(path, request)
        most = 0
        while not answer.done():
            staged, gone = len(changes), engine._index.count(b"", None)
            if len(work):
                work._turn()
            else:
                await asyncio.sleep(0)
            most = max(most, len(changes) - staged, gone - engine._index.count(b"", None))
        assert isinstance(await answer, bytes)
        monkeypatch.undo()
        assert 0 < most <= STEP_KEYS

    run(tmp_path, test)


@pytest.mark.parametrize("compacted", [0, KEYS // 2 - 700])
def test_hashes_and_snapshots_are_of_one_moment(tmp_path: Path, compacted: int) -> None:
    async def test(store: Store) -> None:
        await store.fill(each=2)
        compact = f"{KV}Compact"
        if compacted:
            await store.call(compact, pb.CompactionRequest(revision=compacted), pb.CompactionResponse)
        for number in range(10):
            await store.put(b"k%06d" % number)
        view = store.backend.view
        wanted = hash_kv(view)
        hashed = store.start("/etcdserverpb.Maintenance/HashKV", pb.HashKVRequest())
        taken = asyncio.ensure_future(anext(aiter(store.node.snapshot())))
        await asyncio.sleep(0)
        await store.put(b"k000000", b"later")
        await store.call(compact, pb.CompactionRequest(revision=view.revision), pb.CompactionResponse)
        await store.backend.defragment()
        found = pb.HashKVResponse.FromString(await hashed)
        assert (found.hash, found.compact_revision, found.hash_revision) == wanted
        snapshot = pb.SnapshotResponse.FromString(await taken)
        assert snapshot.blob
        assert store.backend.slices.largest <= LARGEST

    run(tmp_path, test)


def test_many_that_ask_for_much_share_a_turn(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.fill()
        requests = [pb.RangeRequest(**RANGE, keys_only=True, sort_order=pb.RangeRequest.DESCEND)] * 40
        waiting = [store.start(f"{KV}Range", request) for request in requests]
        turns = 0
        while not all(answer.done() for answer in waiting):
            done = sum(answer.done() for answer in waiting)
            await asyncio.sleep(0)
            assert sum(answer.done() for answer in waiting) <= done + 1
            turns += 1
        assert turns > len(waiting)

    run(tmp_path, test)


def test_work_that_breaks_is_answered_and_holds_nothing_back(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        work = slices.Slices(asyncio.get_running_loop())
        held: list[str] = []

        def hold() -> Callable[[], None]:
            held.append("held")
            return lambda: held.append("let go")

        def broken() -> Any:
            yield SLICE_KEYS
            raise ZeroDivisionError

        def sound() -> Any:
            yield SLICE_KEYS
            return b"answer"

        answers: list[Any] = []
        work.run(broken(), answers.append, hold)
        work.run(sound(), answers.append, hold)
        for _ in range(4):
            await asyncio.sleep(0)
        assert isinstance(answers[0], ApiError)
        assert answers[1:] == [b"answer"]
        assert sorted(held) == ["held", "held", "let go", "let go"]
        assert "ZeroDivisionError" in caplog.text

    asyncio.run(main())


def test_a_large_commit_is_seen_whole_and_watched_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "brainctl.engine.read.undo_log._CHANGES", 1 << 9
    )  # the way back is longer than what is kept of it

    async def test(store: Store) -> None:
        await store.fill()
        before = store.backend.revision
        sent: list[bytes] = []
        late: list[bytes] = []
        watch = store.node.watch(sent.append)
        create = pb.WatchCreateRequest(**RANGE, prev_kv=True)
        watch.receive(pb.WatchRequest(create_request=create).SerializeToString())
        deletion = store.start(f"{KV}DeleteRange", pb.DeleteRangeRequest(**RANGE))
        whole_range = pb.RangeRequest(**RANGE)
        half = pb.RangeRequest(key=b"k", range_end=b"k%06d" % (KEYS // 2))
        seen: set[tuple[int, int, int, int, int]] = set()
        turns = 0
        while not deletion.done():
            turns += 1
            point = pb.RangeResponse.FromString(
                await store.start(f"{KV}Range", pb.RangeRequest(key=b"k%06d" % (turns % KEYS)))
            )
            counted = store.backend.view.count(b"k", b"l", 0)
            listed = store.backend.view.select(half.key, half.range_end, 0, 5)
            everything = len(list(store.backend.view.versions(b"k", b"l", 0))) if turns % 5 == 0 else counted
            seen.add((point.header.revision, point.count, counted, listed.total, everything))
            old = pb.RangeRequest(**RANGE, count_only=True, revision=before - 10)
            assert pb.RangeResponse.FromString(await store.start(f"{KV}Range", old)).count == KEYS - 10
            if turns == 3:
                other = store.node.watch(late.append)
                create = pb.WatchCreateRequest(**RANGE, start_revision=before - 1)
                other.receive(pb.WatchRequest(create_request=create).SerializeToString())
            await asyncio.sleep(0)
        assert seen <= {(before, 1, KEYS, KEYS // 2, KEYS), (before + 1, 0, 0, 0, 0)}
        assert (before, 1, KEYS, KEYS // 2, KEYS) in seen
        assert turns >= 8
        assert pb.RangeResponse.FromString(await store.start(f"{KV}Range", whole_range)).count == 0
        await store.put(b"k1")
        await until(lambda: len(sent) == 3 and b"k1" in late[-1])
        events = [list(pb.WatchResponse.FromString(body).events) for body in sent]
        assert [len(some) for some in events] == [0, KEYS, 1]
        assert [event.prev_kv.key for event in events[1]] == [b"k%06d" % number for number in range(KEYS)]
        late_events = [event for body in late for event in pb.WatchResponse.FromString(body).events]
        assert [event.kv.mod_revision for event in late_events] == [
            before - 1,
            before,
            *[before + 1] * KEYS,
            before + 2,
        ]
        assert store.backend.slices.largest <= LARGEST

    run(tmp_path, test)
