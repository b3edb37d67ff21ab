"""`brainctl demo` tells the whole story, and would notice a lost write."""

import asyncio
import runpy
from pathlib import Path
from random import Random

from brainctl.client.steady_writer import KEYS, PREFIX, LiveWriter
from brainctl.clock import SystemClock
from brainctl.etcdpb import rpc_pb2 as pb
from tests.contract.stores import memory
from tests.peers.servers import brainctl

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_migrates_verifies_and_cuts_over() -> None:
    done = brainctl("demo", "--keys", "300", "--rate", "100", seconds=120)
    assert (done.returncode, done.stderr) == (0, "")
    steps = [line.split()[0] for line in done.stdout.splitlines()]
    assert steps == ["source", "writes", "copy", "commit", "verify", "check", "watch", "cutover", "check", "done"]
    drawing = runpy.run_path(str(ROOT / "scripts" / "draw_demo.py"))
    picture = drawing["shown"]((ROOT / "docs" / "demo.svg").read_text())
    assert drawing["shape"](picture) == drawing["shape"](done.stdout.splitlines()), "run `make generate`"
    assert drawing["shape"](["a 1"]) != drawing["shape"](["b 1"]), "control"
    assert "300 keys" in done.stdout
    assert "equal at revision" in done.stdout


def test_the_writer_misses_what_is_not_in_the_store() -> None:
    async def story() -> tuple[list[bytes], list[bytes], list[bytes]]:
        store = memory()
        writer = LiveWriter(store, Random(1), SystemClock(), per_second=1e6)
        for _ in range(200):
            await writer._change()
        nothing = await writer.lost(store)
        kept = (await store.range(pb.RangeRequest(key=PREFIX, range_end=PREFIX[:-1] + b"0", limit=2))).kvs
        await store.delete_range(pb.DeleteRangeRequest(key=kept[0].key))
        await store.put(pb.PutRequest(key=kept[1].key, value=b"overwritten"))
        changed = await writer.lost(store)
        await store.put(pb.PutRequest(key=b"%b%04d" % (PREFIX, KEYS)))
        return nothing, sorted(changed), await writer.lost(store)

    nothing, changed, foreign = asyncio.run(story())
    assert nothing == []
    assert len(changed) == 2
    assert len(foreign) == 3
