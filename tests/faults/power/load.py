"""The load on a store whose block writes are recorded: clients of a node, compaction, defragmentation, restarts."""

import asyncio
import os
import pickle
from pathlib import Path
from random import Random

from brainctl.clock import SystemClock
from brainctl.engine.engine import Engine, EngineOptions
from brainctl.errors import STOPPED, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.node import Node
from brainctl.stores.in_process import NodeStore
from tests.faults.simulation.journal import RESPONSES, Journal, RecordedBackend
from tests.faults.simulation.requests import Requests

CLIENTS = 8
PATHS = {
    "PutRequest": "/etcdserverpb.KV/Put",
    "DeleteRangeRequest": "/etcdserverpb.KV/DeleteRange",
    "TxnRequest": "/etcdserverpb.KV/Txn",
    "CompactionRequest": "/etcdserverpb.KV/Compact",
    "LeaseGrantRequest": "/etcdserverpb.Lease/LeaseGrant",
    "LeaseRevokeRequest": "/etcdserverpb.Lease/LeaseRevoke",
}


def options(rng: Random) -> EngineOptions:
    """Small sizes, so that everything that happens in a large store happens soon."""
    return EngineOptions(
        segment_size=rng.choice((128 << 10, 256 << 10)),
        zero_ahead=rng.choice((0, 16 << 10, 64 << 10)),
        alignment=rng.choice((512, 512, 4096)),
        garbage_ratio=rng.choice((0.3, 0.5)),
        run_records=rng.choice((50, 200)),
        quiet_records=20,
    )


async def client(store: NodeStore, requests: Requests, journal: Journal, until: int) -> None:
    while len(journal.requests) < until:
        request = requests.write(journal.model)
        name = type(request).__name__
        try:
            await store.call(PATHS[name], request, RESPONSES[name])
        except ApiError as refusal:
            if refusal.status == STOPPED:
                raise


async def session(directory: Path, rng: Random, journal: Journal, count: int, *, early: bool) -> None:
    """Open the store, send so many requests, close it."""
    engine = Engine.open(directory, options=options(rng))
    node = Node(RecordedBackend(engine, asyncio.get_running_loop(), journal, early=early), SystemClock())
    store = NodeStore(node, "recorded")
    until = len(journal.requests) + count

    async def tidy() -> None:
        while len(journal.requests) < until:
            await store.call("/etcdserverpb.Maintenance/Defragment", pb.DefragmentRequest(), pb.DefragmentResponse)
            await asyncio.sleep(0.05)

    clients = [client(store, Requests(Random(rng.random())), journal, until) for _ in range(CLIENTS)]
    await asyncio.gather(tidy(), *clients)
    await store.close()


def run(directory: Path, notes: int, result: Path, *, seed: int, count: int, early: bool) -> None:
    """Send `count` requests in four sessions. The number of each that is answered is written to `notes` at once;
    with `early` that is before anything of it is durable. All requests are in `result` at the end.
    """
    journal, rng = Journal(), Random(seed)

    def note(number: int) -> None:
        os.pwrite(notes, b"%d" % number, 0)

    journal.on_answer = note
    for _ in range(4):
        asyncio.run(session(directory, rng, journal, count // 4, early=early))
    sent = [(type(request).__name__, request.SerializeToString()) for request in journal.requests]
    result.write_bytes(pickle.dumps(sent))
