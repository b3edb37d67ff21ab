"""kill -9 of the process that writes, again and again: what it acknowledged is there, and nothing half."""

import asyncio
import random
import signal
import sys

import pytest

from brainctl.etcdpb import kv_pb2
from brainctl.stores.tikv import open_tikv_replica
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.unit.tikv.calls import history, listed, put, state_of
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.test_replica import checkpoint

WRITER = """
import asyncio, sys
from brainctl.errors import ApiError, UnknownOutcome
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.tikv import open_tikv
from brainctl.tikv.succession import Role

async def main(url, name):
    store = await open_tikv(url, Role.LEADER)
    failed = 0

    async def client(number):
        nonlocal failed
        for n in range(100_000):
            both = [b"%s/%d/%d/%s" % (name.encode(), number, n, half) for half in (b"one", b"two")]
            counter = pb.PutRequest(key=b"counter/%d" % (n % 3), value=b"%d" % n)
            puts = [*(pb.PutRequest(key=key, value=b"v") for key in both), counter]
            gone = pb.DeleteRangeRequest(key=b"%s/%d/%d/one" % (name.encode(), number, n - 5))
            operations = [pb.RequestOp(request_put=put) for put in puts] + [pb.RequestOp(request_delete_range=gone)]
            try:
                answer = await store.txn(pb.TxnRequest(success=operations))
            except (ApiError, UnknownOutcome) as error:
                # On a machine under load; nothing was acknowledged.
                failed += 1
                if failed > 200:
                    sys.exit(f"nothing succeeds: {error!r}, because of {error.__cause__!r}")
                await asyncio.sleep(0.05)
                continue
            failed = 0
            print(answer.header.revision, both[1].decode(), flush=True)

    await asyncio.gather(*(client(number) for number in range(10)))

asyncio.run(main(*sys.argv[1:]))
"""
ROUNDS = 8


@pytest.mark.crash
def test_acknowledged_writes_survive_the_writer(tikv: Playground, prefix: str, backend_of: OpenBackend) -> None:
    async def run() -> None:
        rng = random.Random(2)
        acknowledged: dict[str, int] = {}
        for number in range(ROUNDS):
            writer = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WRITER, tikv.url(prefix), f"round{number}"),
                stdout=asyncio.subprocess.PIPE,
            )
            assert writer.stdout is not None
            # Not before it is in full swing, and then anywhere inside of a commit.
            lines = [await writer.stdout.readline() for _ in range(rng.randrange(1, 60))]
            assert lines[-1], "the writer has ended by itself: its standard error says why"
            await asyncio.sleep(rng.uniform(0, 0.01))
            writer.send_signal(signal.SIGKILL)
            lines += (await writer.stdout.read()).splitlines(keepends=True)
            await writer.wait()
            for line in lines:
                if line.endswith(b"\n"):
                    revision, key = line.split()
                    acknowledged[key.decode()] = int(revision)
        assert len(acknowledged) > ROUNDS
        async with backend_of(Role.FOLLOWER) as backend:
            state = await state_of(backend)
            found = {kv.key.decode(): kv.mod_revision for kv in await listed(state)}
            assert acknowledged.items() <= found.items()
            revisions = await history(state, 1, state.revision)
        # Every transaction is one revision, whole: two keys, a counter, and from the sixth of a client on a deletion.
        assert [main for main, _ in revisions] == list(range(2, state.revision + 1))
        for _, changes in revisions:
            assert len(changes) in (3, 4)
            assert [change.sub for change in changes] == list(range(len(changes)))
        # The index says what the log says.
        newest = {change.key.decode(): change for _, changes in revisions for change in changes}
        assert {key: change.mod_revision for key, change in newest.items() if change.version} == found

    asyncio.run(run())


KEYS = 300
BATCHES = 4
REMOVER = """
import asyncio, sys
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.tikv import open_tikv
from brainctl.tikv import ahead, bulk_writer
from brainctl.tikv.succession import Role

ahead.LARGE_CHANGES, bulk_writer.CHUNK_KEYS = 10, 4

async def main(url, start, end):
    store = await open_tikv(url, Role.LEADER)
    await store.delete_range(pb.DeleteRangeRequest(key=start.encode(), range_end=end.encode()))
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.crash
def test_a_large_revision_whose_writer_is_killed_is_seen_whole_or_not_at_all(
    tikv: Playground, prefix: str, backend_of: OpenBackend
) -> None:
    """The process is killed when another client finds some of its changes in TiKV, and not all of them."""

    async def run() -> None:
        replica = await open_tikv_replica(tikv.url(prefix))
        await replica.take_over(checkpoint())
        names = [b"%d/%03d" % (batch, number) for batch in range(BATCHES) for number in range(KEYS)]
        kvs = [kv_pb2.KeyValue(key=key, create_revision=2, mod_revision=2, version=1, value=b"v") for key in names]
        await replica.import_base([kv.SerializeToString() for kv in kvs], 2, checkpoint())
        await replica.close()
        revision, halves = 2, 0
        for batch in range(BATCHES):
            start, end = b"%d/" % batch, b"%d0" % batch
            async with backend_of(Role.FOLLOWER) as reader:
                remover = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", REMOVER, tikv.url(prefix), start.decode(), end.decode()
                )
                while True:
                    state = await state_of(reader)
                    layout = state.layout
                    stored = len(await state.reader.keys(layout.live(start), layout.live(end)))
                    assert len([kv async for kv in state.versions(start, end, 0)]) == (
                        KEYS if state.revision == revision else 0
                    )
                    if stored < KEYS:
                        break
                    assert remover.returncode is None, "it ended by itself"
                remover.send_signal(signal.SIGKILL)
                assert await remover.wait() == -signal.SIGKILL
                state = await state_of(reader)
                halves += bool(state.head.ahead)
                happened = state.revision > revision
                assert [kv.key for kv in await listed(state) if kv.key.startswith(start)] == (
                    [] if happened else names[batch * KEYS : (batch + 1) * KEYS]
                )
            revision += happened
            async with backend_of() as backend:
                # Who writes next finds what was begun, and undoes it.
                revision += 1
                assert await put(backend, b"z") == revision
                state = await state_of(backend)
                assert not state.head.ahead
                live = [kv for kv in await listed(state) if kv.key.startswith(start)]
                assert (len(live), {kv.mod_revision for kv in live}) == ((0, set()) if happened else (KEYS, {2}))
                changes = await history(state, 3, state.revision)
                assert [main for main, _ in changes] == list(range(3, revision + 1))
            if halves:
                return
        pytest.fail("no process was killed in the middle")

    asyncio.run(run())


USER = """
import asyncio, sys
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.tikv import open_tikv

async def main(url):
    store = await open_tikv(url)
    await asyncio.gather(*(store.put(pb.PutRequest(key=b"k%d" % n, value=b"v" * 1000)) for n in range(200)))
    await store.range(pb.RangeRequest(key=b"k", range_end=b"l"))
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


def test_an_interpreter_that_used_the_client_ends_cleanly(tikv: Playground, prefix: str) -> None:
    async def run() -> None:
        for _ in range(5):
            user = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", USER, tikv.url(prefix)), stderr=asyncio.subprocess.PIPE
            )
            _, errors = await user.communicate()
            assert (user.returncode, errors) == (0, b"")

    asyncio.run(run())
