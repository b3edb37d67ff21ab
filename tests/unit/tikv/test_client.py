"""Reads of many and of large values through the package, whose replies end at 4 MiB."""

import asyncio
import random
from pathlib import Path

import pytest

from brainctl.tikv.client import open_client
from brainctl.tikv.client.package_texts import fitting, translate
from brainctl.tikv.errors import Failure, TikvFailed
from tests.peers.servers import Playground


def values(seed: int) -> dict[bytes, bytes]:
    """Small ones for pages to grow on, then some of which few fit into a reply, then small ones again."""
    rng = random.Random(seed)
    sizes = [10] * 700 + [rng.choice([300_000, 1_500_000]) for _ in range(9)] + [10] * 600
    return {b"%05d" % number: rng.randbytes(size) for number, size in enumerate(sizes)}


@pytest.mark.slow
def test_whatever_the_sizes_everything_is_read(tikv: Playground, prefix: str) -> None:
    async def run() -> None:
        root = prefix.encode() + b"/"
        wanted = {root + key: value for key, value in values(1).items()}
        client = open_client([tikv.endpoint])
        keys = list(wanted)
        for at in range(0, len(keys), 7):
            await (await client.begin()).commit({key: wanted[key] for key in keys[at : at + 7]})
        snapshot = await client.snapshot(await client.timestamp())
        end = prefix.encode() + b"0"
        assert [pair async for page in snapshot.scan(root, end) for pair in page] == list(wanted.items())
        limited = [pair async for page in snapshot.scan(root, end, limit=704) for pair in page]
        assert limited == list(wanted.items())[:704]
        assert await snapshot.keys(root, end) == keys
        assert await snapshot.keys(root, end, limit=5) == keys[:5]
        assert await snapshot.count(root, end) == len(keys)
        assert await snapshot.get([*keys, root + b"missing"]) == wanted
        assert await snapshot.get([]) == {}
        await client.close()

    asyncio.run(run())


def test_a_page_that_was_too_large_is_made_to_fit() -> None:
    text = "Error, message length too large: found 8388608 bytes, the limit is: 4194304 bytes"
    error = translate(Exception(text))
    assert error.failure is Failure.REPLY_TOO_LARGE
    assert fitting(error, 400) == 25
    assert [fitting(TikvFailed(Failure.REPLY_TOO_LARGE, ""), asked) for asked in (400, 3, 2)] == [50, 1, 1]


def test_a_commit_outlives_the_cancellation_of_its_caller(tikv: Playground, prefix: str) -> None:
    async def run() -> None:
        client = open_client([tikv.endpoint])
        keys = [b"%b/%03d" % (prefix.encode(), number) for number in range(300)]
        for cancel_after in range(6):
            transaction = await client.begin()
            value = b"%d" % cancel_after
            commit = asyncio.ensure_future(transaction.commit(dict.fromkeys(keys, value)))
            for _ in range(cancel_after):
                await asyncio.sleep(0)
            commit.cancel()
            with pytest.raises(asyncio.CancelledError):
                await commit
            # What is cancelled by its caller still runs, and is not rolled back under way.
            await transaction.rollback()
            found: set[bytes] = set()
            while cancel_after and found != {value}:
                snapshot = await client.snapshot(await client.timestamp())
                found = set((await snapshot.get(keys)).values())
                assert len(found) <= 1
        await client.close()

    asyncio.run(run())


def test_the_connection_to_the_driver_is_made_anew(tmp_path: Path, prefix: str) -> None:
    """The package's stream of timestamps ends for good with the connection."""

    async def run(cluster: Playground) -> None:
        client = open_client([cluster.endpoint])
        key = prefix.encode() + b"/k"
        await (await client.begin()).commit({key: b"v"})
        assert cluster.stop() == 0
        cluster.start()
        snapshot = await client.snapshot(await client.timestamp())
        assert await snapshot.get([key]) == {key: b"v"}
        await client.close()

    with Playground(tmp_path / "cluster") as cluster:
        asyncio.run(run(cluster))
