"""One schedule of faults under a recorded load, and the verdict on what the clients were told."""

import asyncio
import threading
from pathlib import Path
from random import Random
from typing import NamedTuple

from brainctl.check.examine import Finding, examine
from brainctl.check.file import read_header, read_lines
from brainctl.client.recorder.client import Over
from brainctl.client.recorder.recording import Recorded, Recording, Wanted
from brainctl.clock import SystemClock
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from tests.faults.chaos.cluster import Cluster
from tests.faults.chaos.schedule import Schedule
from tests.support.until import SECONDS, until

CLIENTS = 9
PER_SECOND = 150


class Turned(NamedTuple):
    """Result of a turn."""

    recorded: Recorded
    finding: Finding

    @property
    def wrong(self) -> str:
        """Return what was found, empty when every promise was kept."""
        verdict = self.finding.verdict
        found = "\n".join(f"{anomaly.kind}: {anomaly.text}" for anomaly in verdict.anomalies[:5])
        return found or verdict.undecided or self.recorded.left_behind


class Load:
    """The recorder of `brainctl check history` over all endpoints, in a thread of its own."""

    def __init__(self, endpoints: list[str], workload: str, prefix: str, seed: int, file: Path) -> None:
        self._endpoints = endpoints
        self._wanted = Wanted(prefix, workload, CLIENTS, PER_SECOND, 1e9, compact=False)
        self._seed = seed
        self._file = file
        self._enough = threading.Event()
        self._answered = 0
        self._recorded: Recorded | None = None
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def more(self, count: int) -> None:
        """Wait until so many more operations were answered."""
        goal = self._answered + count
        until(f"{count} more operations are answered", lambda: self._answered >= goal or self._over())

    def finish(self) -> Recorded:
        """Let the clients end and the watches catch up."""
        self._enough.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the recording does not end"
        self._over()
        assert self._recorded is not None
        return self._recorded

    def _over(self) -> bool:
        if self._failed is not None:
            raise self._failed
        return False

    def _run(self) -> None:
        try:
            self._recorded = asyncio.run(self._record())
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
            self._failed = error

    async def _record(self) -> Recorded:
        stores = [(endpoint, EtcdStore(EtcdTarget((endpoint,)))) for endpoint in self._endpoints]

        def go_on() -> None:
            if self._enough.is_set():
                raise Over

        with self._file.open("wb") as out:

            def write(data: bytes) -> None:
                out.write(data)
                self._answered += b'"returned":' in data and b'"returned":null' not in data and b'"error"' not in data

            try:
                clock, random = SystemClock(), Random(self._seed)
                recording = Recording(stores, self._wanted, write, clock, random, go_on)
                return await recording.run(asyncio.Event())
            finally:
                for _, store in stores:
                    await store.close()


def turn(cluster: Cluster, plan: Schedule, prefix: str, seed: int, file: Path) -> Turned:
    """Run a schedule while a load is recorded into `file`, below `prefix`; then check it."""
    load = Load([instance.endpoint for instance in cluster.instances], plan.workload, prefix, seed, file)
    load.start()
    for step in plan.steps:
        load.more(step.before)
        cluster.befall(step, load.more)
    load.more(CLIENTS)
    recorded = load.finish()
    with file.open("rb") as lines:
        return Turned(recorded, examine(read_header(lines.readline()), read_lines(lines)))
