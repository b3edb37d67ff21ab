"""kill -9 of the process that writes, again and again: what it acknowledged is there, and nothing half."""

import asyncio
import random
import signal
import sys

import pytest

from brainctl.tikv.backend import Role
from tests.peers.servers import Playground
from tests.unit.tikv.calls import history, listed, state_of
from tests.unit.tikv.conftest import OpenBackend

WRITER = """
import asyncio, sys
from brainctl.errors import ApiError, UnknownOutcome
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.tikv import open_tikv
from brainctl.tikv.backend import Role

async def main(url, name):
    store = await open_tikv(url, Role.LEADER)

    async def client(number):
        for n in range(100_000):
            both = [b"%s/%d/%d/%s" % (name.encode(), number, n, half) for half in (b"one", b"two")]
            counter = pb.PutRequest(key=b"counter/%d" % (n % 3), value=b"%d" % n)
            puts = [*(pb.PutRequest(key=key, value=b"v") for key in both), counter]
            gone = pb.DeleteRangeRequest(key=b"%s/%d/%d/one" % (name.encode(), number, n - 5))
            operations = [pb.RequestOp(request_put=put) for put in puts] + [pb.RequestOp(request_delete_range=gone)]
            try:
                answer = await store.txn(pb.TxnRequest(success=operations))
            except (ApiError, UnknownOutcome):
                # On a machine under load; nothing was acknowledged.
                await asyncio.sleep(0.05)
                continue
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
            assert lines[-1], f"it ended by itself: {lines}"
            await asyncio.sleep(rng.uniform(0, 0.01))
            writer.send_signal(signal.SIGKILL)
            lines += (await writer.stdout.read()).splitlines(keepends=True)
            assert await writer.wait() == -signal.SIGKILL, lines
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
