"""Histories recorded from real servers hold; the same through a proxy that tells wrong things do not."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from brainctl.check.examine import Finding, examine
from brainctl.check.file import read_header, read_lines
from brainctl.client.recorder.recording import Recorded, Recording, Wanted
from brainctl.clock import SystemClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.unary import Reply
from tests.peers.servers import Brainctl, Etcd, brainctl, etcdctl

PREFIX = "/check/"


class Waiting(EtcdStore):
    """A client that counts the writes that wait for their answer."""

    writes = 0

    async def call(self, method: str, request: Any, reply: type[Reply]) -> Reply:
        write = isinstance(request, pb.PutRequest | pb.TxnRequest | pb.DeleteRangeRequest)
        self.writes += write
        try:
            return await super().call(method, request, reply)
        finally:
            self.writes -= write


async def kill_in_a_write(server: Etcd | Brainctl, stores: list[Waiting]) -> None:
    """Kill the server before it has answered a write, and start it again."""
    while True:
        os.kill(server.pid, signal.SIGSTOP)
        # Answers that were on their way arrive meanwhile. A write that still waits then gets none.
        await asyncio.sleep(0.2)
        if any(store.writes for store in stores):
            break
        os.kill(server.pid, signal.SIGCONT)
        await asyncio.sleep(0.01)
    server.kill()
    server.start()


class Wrong(EtcdStore):
    """A client that changes what the server has told, now and then, as a wrong proxy would."""

    def __init__(self, target: EtcdTarget, fault: "Fault") -> None:
        super().__init__(target)
        self.fault = fault
        self.planted = 0
        self.kept: dict[str, Any] = {}

    async def call(self, method: str, request: Any, reply: type[Reply]) -> Reply:
        answer = await super().call(method, request, reply)
        if self.fault.call is None:
            return answer
        changed = self.fault.call(self, request, answer)
        self.planted += changed is not None
        return answer if changed is None else changed

    async def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> AsyncIterator[pb.WatchResponse]:
        kept: list[pb.WatchResponse] = []
        async for response in super().watch(requests):
            for one in self._changed(response, kept):
                yield one

    def _changed(self, response: pb.WatchResponse, kept: list[pb.WatchResponse]) -> list[pb.WatchResponse]:
        if self.fault.watch is None or not response.events or kept:
            return [response]
        changed = self.fault.watch(response)
        if changed is None:
            return [response]
        self.planted += 1
        return changed


class Fault(NamedTuple):
    """What a wrong proxy does, and the kinds of anomalies of which one must be found."""

    kinds: tuple[str, ...]
    call: Callable[[Wrong, Any, Any], Any] | None = None
    watch: Callable[[pb.WatchResponse], list[pb.WatchResponse] | None] | None = None


def stale(store: Wrong, request: Any, answer: Any) -> Any:
    """Answer a linearizable read as the last one of the same range was answered."""
    if not isinstance(request, pb.RangeRequest) or request.serializable or request.revision:
        return None
    before = store.kept.get(request.SerializeToString())
    store.kept[request.SerializeToString()] = answer
    return before if before is not None and before.header.revision < answer.header.revision else None


def emptied(_store: Wrong, request: Any, answer: Any) -> Any:
    if not isinstance(request, pb.RangeRequest) or request.limit or not answer.kvs:
        return None
    return pb.RangeResponse(header=answer.header)


def reused(store: Wrong, request: Any, answer: Any) -> Any:
    if not isinstance(request, pb.PutRequest):
        return None
    before, store.kept["put"] = store.kept.get("put"), answer
    return before


def without_last(response: pb.WatchResponse) -> list[pb.WatchResponse]:
    del response.events[-1]
    return [response]


def twice(response: pb.WatchResponse) -> list[pb.WatchResponse]:
    return [response, response]


def without_previous(response: pb.WatchResponse) -> list[pb.WatchResponse] | None:
    if not any(event.HasField("prev_kv") for event in response.events):
        return None
    for event in response.events:
        event.ClearField("prev_kv")
    return [response]


def split(response: pb.WatchResponse) -> list[pb.WatchResponse] | None:
    if len({event.kv.mod_revision for event in response.events}) == len(response.events):
        return None
    parts = []
    for event in response.events:
        part = pb.WatchResponse(header=response.header, watch_id=response.watch_id)
        part.events.append(event)
        parts.append(part)
    return parts


def ahead(response: pb.WatchResponse) -> list[pb.WatchResponse]:
    return [pb.WatchResponse(header=response.header, watch_id=response.watch_id), response]


FAULTS = {
    "stale read": Fault(("stale-read",), call=stale),
    "lost write": Fault(("lost-write",), call=emptied),
    "repeated revision": Fault(("revision-reused", "revision-went-back"), call=reused),
    "lost event": Fault(("watch-lost-event",), watch=without_last),
    "doubled event": Fault(("watch-duplicate",), watch=twice),
    "missed prev_kv": Fault(("watch-prev-kv",), watch=without_previous),
    "split revision": Fault(("watch-split",), watch=split),
    "progress ahead": Fault(("watch-bookmark",), watch=ahead),
}
PLANTED = 10


def record(
    server: Etcd | Brainctl,
    workload: str,
    file: Path,
    *,
    fault: Fault | None = None,
    answered: int = 150,
    killed_at: int = 0,
) -> tuple[Recorded, Finding]:
    """Record until enough was answered, and with a fault until it has happened often enough; then check."""
    target = EtcdTarget(endpoints=(server.endpoint,))

    async def whole() -> Recorded:
        stores = [Waiting(target) if fault is None else Wrong(target, fault) for _ in range(2)]
        stop, lines = asyncio.Event(), 0
        killing: list[asyncio.Task[None]] = []

        def write(data: bytes) -> None:
            nonlocal lines
            out.write(data)
            lines += b'"returned"' in data
            if killed_at and lines >= killed_at and not killing:
                waiting = [store for store in stores if isinstance(store, Waiting)]
                killing.append(asyncio.ensure_future(kill_in_a_write(server, waiting)))
            planted = sum(store.planted for store in stores if isinstance(store, Wrong))
            if lines >= answered and (fault is None or planted >= PLANTED):
                stop.set()

        wanted = Wanted(PREFIX, workload, 8, 1000, 60, compact=False)
        named = [(server.endpoint, store) for store in stores]
        try:
            with file.open("wb") as out:
                recorded = await Recording(named, wanted, write, SystemClock(), Random(7)).run(stop)
            await asyncio.gather(*killing)
            return recorded
        finally:
            for store in stores:
                await store.close()

    recorded = asyncio.run(whole())
    with file.open("rb") as lines:
        return recorded, examine(read_header(lines.readline()), read_lines(lines))


@pytest.fixture(params=[Etcd, Brainctl], ids=["etcd", "brainctl"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd | Brainctl]:
    with request.param(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize("workload", ["kv", "kubernetes", "lease", "watch", "lock"])
def test_a_recorded_history_holds(server: Etcd | Brainctl, workload: str, tmp_path: Path) -> None:
    recorded, finding = record(server, workload, tmp_path / "run.jsonl")
    assert finding.verdict.holds, finding.verdict.anomalies
    assert finding.verdict.operations >= 150
    assert finding.verdict.events > 20
    assert recorded.left_behind == ""
    assert etcdctl(server.endpoint, "get", PREFIX, "--prefix").stdout == ""


@pytest.mark.parametrize("name", FAULTS)
def test_control_a_wrong_proxy_is_found(brainctl_server: Brainctl, name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    _, finding = record(brainctl_server, "kv", tmp_path / "run.jsonl", fault=fault)
    kinds = {anomaly.kind for anomaly in finding.verdict.anomalies}
    assert kinds & set(fault.kinds), finding.verdict.anomalies[:3]
    assert finding.counterexample is not None


def test_a_history_with_a_kill_in_it_holds(tmp_path: Path) -> None:
    with Brainctl(tmp_path / "server") as server:
        recorded, finding = record(server, "kubernetes", tmp_path / "run.jsonl", answered=300, killed_at=100)
    assert finding.verdict.holds, finding.verdict.anomalies
    assert finding.verdict.unknown, "a control: some outcomes are unknown"
    assert recorded.left_behind == ""


def test_the_command_records_checks_and_leaves_nothing(tmp_path: Path) -> None:
    with Brainctl(tmp_path / "server") as server:
        etcdctl(server.endpoint, "put", "/brainctl-check", "not mine")
        file = tmp_path / "run.jsonl"
        at = ("--endpoints", f"{server.endpoint},localhost:{server.port}")
        load = ("--duration", "1s", "--rate", "20", "--clients", "3", "--compact")
        done = brainctl(*at, "check", "history", "--record", str(file), *load, "-w", "json")
        told = json.loads(done.stdout)
        assert told["holds"], told
        assert done.returncode == (17 if "the load is too small" in done.stderr else 0)
        _, *lines = map(json.loads, file.read_text().splitlines())
        assert {line["endpoint"] for line in lines if "endpoint" in line} == {0, 1}
        assert [line["op"] for line in lines].count("hash") == 2
        ended = [line["watch"] for line in lines if line.get("canceled")]
        assert len(ended) == len(set(ended)), "the end of a watch is written once"
        left = etcdctl(server.endpoint, "get", "", "--prefix", "--keys-only").stdout.split()
        assert left == ["/brainctl-check"]
        again = brainctl(*at, "check", "history", "--record", str(file))
        assert again.returncode == 6
        assert "file exists" in again.stderr


def test_a_load_that_was_not_reached_is_no_verdict(brainctl_server: Brainctl, tmp_path: Path) -> None:
    at = ("--endpoints", brainctl_server.endpoint, "check", "history", "--record", str(tmp_path / "run.jsonl"))
    done = brainctl(*at, "--duration", "1s", "--rate", "1000000", "--clients", "2")
    assert done.returncode == 17
    assert "of 1e+06 operations were answered: the load is too small for a verdict" in done.stderr


def test_mistakes(brainctl_server: Brainctl, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    at = ("--endpoints", brainctl_server.endpoint, "check", "history", "--record", str(file))
    etcdctl(brainctl_server.endpoint, "put", "/taken/x", "")
    taken = brainctl(*at, "--prefix", "/taken")
    assert taken.returncode == 3
    assert taken.stderr == "Error: the prefix '/taken/' has keys: check history works in an empty one\n"
    assert not file.exists()
    assert brainctl(*at, "--workload", "chess").returncode == 4
    assert brainctl(*at, "--clients", "0").returncode == 128
    assert brainctl(*at, "other.jsonl").returncode == 128
