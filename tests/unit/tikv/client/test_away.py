"""Servers that go away and come back, and clients that died: what both clients do about it."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from brainctl.tikv.client import ClientKind, open_client
from brainctl.tikv.errors import NOT_WRITTEN, TikvFailed
from tests.peers.servers import Playground
from tests.unit.tikv.client.conftest import OpenClient
from tests.unit.tikv.client.test_contract import now, run, write
from tests.unit.tikv.proxy import proxied

VALUE = b"the value by which the transaction is recognised"


def test_a_cluster_that_restarts_costs_a_wait(tmp_path: Path, prefix: str, client_of: OpenClient) -> None:
    async def work(cluster: Playground) -> None:
        key = prefix.encode() + b"/k"
        async with client_of(cluster) as client:
            await write(client, {key: b"1"})
            reader = await now(client)
            assert cluster.stop() == 0
            reads = asyncio.ensure_future(reader.get([key]))
            times = asyncio.ensure_future(client.timestamp())
            await asyncio.sleep(0)
            cluster.start()
            assert await reads == {key: b"1"}
            assert await times > 0
            await write(client, {key: b"2"})
            assert await (await now(client)).get([key]) == {key: b"2"}

    with Playground(tmp_path / "cluster") as cluster:
        run(work(cluster))


def test_a_cluster_that_stays_away_is_given_up(
    tmp_path: Path, prefix: str, client_of: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(cluster: Playground) -> None:
        key = prefix.encode() + b"/k"
        async with client_of(cluster) as client:
            await write(client, {key: b"1"})
            reader, transaction = await now(client), await client.begin()
            cluster.kill()
            monkeypatch.setattr("brainctl.tikv.client.limits.PATIENCE", 0.2)
            with pytest.raises(TikvFailed):
                await reader.get([key])
            with pytest.raises(TikvFailed):
                await client.timestamp()
            with pytest.raises(TikvFailed) as unknown:
                await transaction.commit({key: b"2"})
            assert unknown.value.failure not in NOT_WRITTEN

    with Playground(tmp_path / "cluster") as cluster:
        run(work(cluster))


def test_an_answer_that_is_lost_is_asked_for_again(tikv: Playground, prefix: str) -> None:
    """Our own client repeats its only phase; the package repeats nothing, and does not know what has happened."""

    async def work() -> None:
        key = prefix.encode() + b"/k"
        async with proxied(tikv) as behind:
            client = open_client([behind.endpoint], kind=ClientKind.OWN)
            await write(client, {key: b"1"})
            behind.store.hold(lambda data: VALUE in data, forward=True)
            begun = await client.timestamp()
            commit = asyncio.ensure_future(write(client, {key: VALUE}))
            await asyncio.wait_for(behind.store.tripped.wait(), 120)
            behind.store.cut()
            await asyncio.wait_for(behind.store.refused.acquire(), 120)
            behind.store.release()
            assert begun < await commit <= await client.timestamp()
            assert await (await now(client)).get([key]) == {key: VALUE}
            await client.close()

    run(work())


LOCKER = """
import asyncio, sys
from brainctl.tikv.client import open_client

async def main(endpoint, key, other):
    client = open_client([endpoint])
    transaction = await client.begin(locking=True)
    await transaction.get_locked(key.encode())
    await transaction.get_locked(other.encode())
    print("locked", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def test_locks_of_a_killed_client_run_out(
    tikv: Playground, prefix: str, client_of: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it lives they are kept for longer than a lock lasts by itself."""
    monkeypatch.setattr("brainctl.tikv.client.limits.PATIENCE", 4.0)

    async def work() -> None:
        key, other = f"{prefix}/k", f"t{prefix}/k"
        locker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOCKER, tikv.endpoint, key, other), stdout=asyncio.subprocess.PIPE
        )
        assert locker.stdout is not None
        assert await locker.stdout.readline() == b"locked\n"
        async with client_of(tikv) as client:
            with pytest.raises(TikvFailed) as refused:
                await write(client, {key.encode(): b"1", other.encode(): b"1"})
            assert refused.value.failure in NOT_WRITTEN
            assert await (await now(client)).get([key.encode(), other.encode()]) == {}
            locker.send_signal(signal.SIGKILL)
            await locker.wait()
            while True:
                try:
                    await write(client, {key.encode(): b"2", other.encode(): b"2"})
                    break
                except TikvFailed as error:
                    assert error.failure in NOT_WRITTEN  # noqa: PT017 - several may be refused
            assert len(await (await now(client)).get([key.encode(), other.encode()])) == 2

    run(work())


def test_the_safe_point_passes_no_lock_of_a_dead_client(tmp_path: Path, prefix: str, client_of: OpenClient) -> None:
    async def work(cluster: Playground) -> None:
        key, other = f"{prefix}/k", f"t{prefix}/k"
        locker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOCKER, cluster.endpoint, key, other), stdout=asyncio.subprocess.PIPE
        )
        assert locker.stdout is not None
        assert await locker.stdout.readline() == b"locked\n"
        locker.send_signal(signal.SIGKILL)
        await locker.wait()
        async with client_of(cluster) as client:
            upto = await client.timestamp()
            while await client.safe_point() < upto:
                try:
                    await client.collect(upto)
                except TikvFailed as error:
                    assert error.failure in NOT_WRITTEN  # noqa: PT017 - several may be refused
            await write(client, {key.encode(): b"1", other.encode(): b"1"})

    with Playground(tmp_path / "cluster") as cluster:
        run(work(cluster))
