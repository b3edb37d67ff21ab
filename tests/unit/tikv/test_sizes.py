"""The longest keys and values that go to TiKV, and the first that do not: named before anything is written."""

import asyncio

import pytest

from brainctl.errors import Unsupported
from brainctl.etcdpb import kv_pb2
from brainctl.stores.store import Checkpoint
from brainctl.stores.tikv import open_tikv, open_tikv_replica
from brainctl.tikv.group_commit import MAX_REQUEST_BYTES
from brainctl.tikv.key_codec import MAX_KEY, MAX_PREFIX
from tests.peers.servers import Playground
from tests.unit.migrate.running import contents

MARK = Checkpoint("run", 1, b"state")


def kv(key: bytes, value: bytes = b"v", revision: int = 5) -> bytes:
    fields = {"key": key, "value": value, "create_revision": revision, "mod_revision": revision, "version": 1}
    return kv_pb2.KeyValue(**fields).SerializeToString()


def event(kv: bytes) -> bytes:
    return kv_pb2.Event(kv=kv_pb2.KeyValue.FromString(kv)).SerializeToString()


def test_sizes(tikv: Playground) -> None:
    async def run() -> None:
        prefix = "sizes/" + "p" * (MAX_PREFIX - len("sizes/"))
        replica = await open_tikv_replica(tikv.url(prefix))
        await replica.take_over(MARK)
        longest = kv(b"k" * MAX_KEY)
        await replica.import_base([kv(b"k" * 4097), longest], 5, MARK)
        await replica.apply([event(kv(b"e" * MAX_KEY, revision=6))], 6, MARK)
        long, large = kv(b"/long/" + b"k" * MAX_KEY, revision=7), kv(b"/large", bytes(MAX_REQUEST_BYTES), revision=7)
        for refused, named in ((long, "begins with /long/k"), (large, "that of /large has")):
            with pytest.raises(Unsupported, match=named):
                await replica.import_base([refused], 5, MARK)
            with pytest.raises(Unsupported, match=named):
                await replica.apply([event(refused)], 7, MARK)
        await replica.close()
        store = await open_tikv(tikv.url(prefix))
        assert (await contents(store, 6)).keys() == {b"k" * 4097, b"k" * MAX_KEY, b"e" * MAX_KEY}
        await store.close()

    asyncio.run(run())
