"""The cluster goes away and comes back: nobody has to start brainctl anew."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from brainctl.mvcc.commit import Commit
from brainctl.tikv.backend import open_backend
from brainctl.tikv.client import open_client
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.unit.tikv.calls import put, value


async def let_commits_end(cluster: Playground) -> None:
    """TiKV keeps the locks of a commit over a restart, and with them what was committed; this cluster forgets them.
    Whoever reads a locked key ends the commit that locked it, so read them all.
    """
    client = open_client([cluster.endpoint])
    snapshot = await client.snapshot(await client.timestamp())
    assert [page async for page in snapshot.scan(b"\0", b"\xf0")]
    await client.close()


def test_a_leader_and_its_follower_outlive_the_cluster(tmp_path: Path, prefix: str) -> None:
    async def run(cluster: Playground) -> None:
        async with AsyncExitStack() as stack:
            leader = await open_backend([cluster.endpoint], prefix, Role.LEADER)
            stack.push_async_callback(leader.close)
            follower = await open_backend([cluster.endpoint], prefix, Role.FOLLOWER)
            stack.push_async_callback(follower.close)
            seen = asyncio.Event()

            def observe(commit: Commit) -> None:
                if commit.revision == 4:
                    seen.set()

            follower.subscribe(observe)
            assert await put(leader, b"k", b"before") == 2
            await let_commits_end(cluster)
            assert cluster.stop() == 0
            write = asyncio.ensure_future(put(leader, b"k", b"meanwhile"))
            read = asyncio.ensure_future(value(leader, b"other"))
            await asyncio.sleep(0)
            cluster.start()
            assert await write == 3
            assert await read is None
            assert await value(follower, b"k") == b"meanwhile"
            assert await put(leader, b"k", b"after") == 4
            await asyncio.wait_for(seen.wait(), 120)
            assert leader.leads

    with Playground(tmp_path / "cluster") as cluster:
        asyncio.run(run(cluster))
