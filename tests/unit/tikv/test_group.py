"""Group commits: what is submitted together is written together, within bounds, and shown before it is answered."""

import asyncio

import pytest

from brainctl.errors import REQUEST_TOO_LARGE, STOPPED, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.steps import finish
from brainctl.tikv import group_commit
from brainctl.tikv.key_codec import MAX_KEY
from tests.unit.tikv.calls import history, put, read, send, state_of, value
from tests.unit.tikv.conftest import OpenBackend


def test_writes_that_arrive_together_are_one_commit_and_shown_before_they_are_answered(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as backend:
            order: list[str] = []
            backend.subscribe(lambda commit: order.append(f"commit of {len(commit.changes)}"))
            first = send(backend, pb.PutRequest(key=b"a"))
            first.add_done_callback(lambda _: order.append("first answered"))
            await first
            rest = [send(backend, pb.PutRequest(key=b"k%d" % number)) for number in range(50)]
            rest[0].add_done_callback(lambda _: order.append("answered"))
            revisions = [pb.PutResponse.FromString(answer).header.revision for answer in await asyncio.gather(*rest)]
            assert revisions == list(range(3, 53))
            assert order == ["commit of 1", "first answered", "commit of 50", "answered"]

    asyncio.run(run())


@pytest.mark.parametrize(
    "bound", ["ahead.LARGE_CHANGES", "ahead.LARGE_BYTES", "group_commit.MAX_REQUESTS", "group_commit.MAX_GROUP_BYTES"]
)
def test_a_large_group_is_cut_and_nothing_is_lost(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(f"brainctl.tikv.{bound}", 700 if "BYTES" in bound else 7)

    async def run() -> None:
        async with backend_of() as backend:
            commits: list[Commit] = []
            backend.subscribe(commits.append)
            answers = [send(backend, pb.PutRequest(key=b"k", value=b"%d" % n + b"v" * 90)) for n in range(60)]
            revisions = [pb.PutResponse.FromString(answer).header.revision for answer in await asyncio.gather(*answers)]
            assert revisions == list(range(2, 62))
            assert max(len(commit.changes) for commit in commits) <= 8
            assert [commit.revision for commit in commits] == sorted({commit.revision for commit in commits})
            assert [main for main, _ in await history(await state_of(backend), 1, 61)] == revisions

    asyncio.run(run())


def test_what_tikv_cannot_hold_is_refused(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as backend:
            for key, large in ((b"k" * (MAX_KEY + 1), b""), (b"k", bytes(group_commit.MAX_REQUEST_BYTES))):
                with pytest.raises(ApiError) as refused:
                    await put(backend, key, large)
                assert refused.value.status == REQUEST_TOO_LARGE
            assert await put(backend, b"k" * MAX_KEY, bytes(group_commit.MAX_REQUEST_BYTES - MAX_KEY - 100)) == 2
            assert len(await value(backend, b"k" * MAX_KEY) or b"") > 3_000_000

    asyncio.run(run())


def test_a_write_may_read_what_its_request_does_not_name(backend_of: OpenBackend) -> None:
    """Its keys are loaded when the evaluation asks for them, and it is evaluated anew."""

    async def run() -> None:
        async with backend_of() as backend:
            await asyncio.gather(*(put(backend, b"k%02d" % number) for number in range(30)))

            def delete_some(batch: Batch, _: pb.TxnRequest) -> bytes:
                return b"%d" % finish(batch.delete_keys([b"k03", b"k11", b"k99"]))

            answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            backend.submit(delete_some, pb.TxnRequest(), answer.set_result)
            assert await answer == b"2"
            assert (await read(backend, b"k", b"l", count_only=True)).count == 28

    asyncio.run(run())


def test_what_is_queued_is_written_before_it_closes_and_nothing_is_after(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as backend:
            answers = [send(backend, pb.PutRequest(key=b"k", value=b"%d" % number)) for number in range(600)]
            closing = asyncio.ensure_future(backend.close())
            await asyncio.sleep(0)
            late = send(backend, pb.PutRequest(key=b"late"))
            await closing
            assert pb.PutResponse.FromString((await asyncio.gather(*answers))[-1]).header.revision == 601
            with pytest.raises(ApiError) as refused:
                await late
            assert refused.value.status == STOPPED
        async with backend_of() as backend:
            assert await value(backend, b"k") == b"599"
            assert await value(backend, b"late") is None

    asyncio.run(run())
