"""kill -9 of `brainctl serve` under eight writers, over and over.

Run it with python -m tests.faults.crash.server_kills --cycles 1000.

Each writer puts keys of its own, counts a key up with compare-and-swap, and knows what was acknowledged; one client
compacts and defragments all the time. The server is killed at a random moment and started again with other options.
Then nothing acknowledged may be missing, nothing may have been applied twice, and the revision may not be lower.
"""

import argparse
import logging
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.servers import Brainctl
from tests.support.rpc import Refused, Remote

WRITERS = 8
KEYS = 20
"""Of each writer."""
RATE_MIN = 200.0
"""Writes per second, without which a run shows nothing."""
PUT, TXN, RANGE = (f"/etcdserverpb.KV/{name}" for name in ("Put", "Txn", "Range"))


def flags(rng: Random) -> list[str]:
    """Other options at each start."""
    chosen = []
    if rng.random() < 0.5:
        chosen += ["--auto-compaction-mode", "revision", "--auto-compaction-retention", str(rng.choice((10, 200)))]
    if rng.random() < 0.3:
        chosen += ["--quota-backend-bytes", str(1 << 30)]
    if rng.random() < 0.3:
        chosen += ["--max-txn-ops", "64"]
    return chosen


@dataclass
class Writer:
    """What one writer knows, over all restarts."""

    name: str
    puts: dict[bytes, int] = field(default_factory=dict)
    """By key, the number in the last put that was acknowledged, or found."""
    counted: dict[bytes, int] = field(default_factory=dict)
    """By key, how many puts have been applied, at least."""
    sent: dict[bytes, int] = field(default_factory=dict)
    count: int = 0
    """What its counter was acknowledged to be."""
    tried: int = 0
    """What its counter may be."""
    acknowledged: int = 0
    revision: int = 0
    wrong: str = ""

    def write(self, api: Remote, over: threading.Event, rng: Random) -> None:
        """Until the server is gone."""
        while not over.is_set():
            try:
                if rng.random() < 0.7:
                    self._put(api, rng)
                else:
                    self._count(api)
            except Refused:
                return
            except AssertionError as error:
                self.wrong = str(error)
                return

    def _put(self, api: Remote, rng: Random) -> None:
        key = f"{self.name}/{rng.randrange(KEYS)}".encode()
        self.sent[key] = self.sent.get(key, 0) + 1
        value = b"%d " % self.sent[key] + b"x" * rng.choice((10, 300, 3000))
        answer = api.call(PUT, pb.PutRequest(key=key, value=value))
        self.puts[key] = self.sent[key]
        self.counted[key] = self.counted.get(key, 0) + 1
        self._acknowledged(answer.header.revision)

    def _count(self, api: Remote) -> None:
        """Put the next number if the last one known is there; else learn which one is."""
        key, value = self.name.encode(), b"%d" % self.count
        wanted = pb.Compare(key=key, target=pb.Compare.VALUE, value=value)
        if not self.count:
            wanted = pb.Compare(key=key, target=pb.Compare.VERSION, version=0)
        put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"%d" % (self.count + 1)))
        self.tried = max(self.tried, self.count + 1)
        answer = api.call(TXN, pb.TxnRequest(compare=[wanted], success=[put]))
        assert answer.succeeded, f"the counter of {self.name} is not {self.count}"
        self.count += 1
        self._acknowledged(answer.header.revision)

    def _acknowledged(self, revision: int) -> None:
        self.acknowledged += 1
        self.revision = max(self.revision, revision)

    def check(self, found: dict[bytes, Any]) -> None:
        """Hold what a restarted server has against what this writer knows; take over what was unknown."""
        for key, sent in self.sent.items():
            kv = found.get(key)
            acknowledged = self.puts.get(key, 0)
            have = int(kv.value.split()[0]) if kv else 0
            assert acknowledged <= have <= sent, f"{key!r} has put {have}, acknowledged {acknowledged}, sent {sent}"
            applied, least = kv.version if kv else 0, self.counted.get(key, 0)
            assert least <= applied <= sent, f"{key!r} was put {applied} times, acknowledged {least}, sent {sent}"
            self.puts[key], self.counted[key] = have, applied
        kv = found.get(self.name.encode())
        have = int(kv.value) if kv else 0
        assert self.count <= have <= self.tried, f"{self.name} counts {have}, acknowledged {self.count}"
        assert not kv or kv.version == have, f"{self.name} was counted {kv.version} times to {have}"
        self.count = have


@dataclass
class Kills:
    """One store, killed again and again."""

    directory: Path
    rng: Random
    writers: list[Writer] = field(default_factory=lambda: [Writer(f"w{number}") for number in range(WRITERS)])
    revision: int = 0
    seconds: float = 0.0
    restarts: list[float] = field(default_factory=list)

    def cycle(self) -> None:
        """Start, check, write, kill."""
        server = Brainctl(self.directory, *flags(self.rng))
        began = time.monotonic()
        server.start()
        self.restarts.append(time.monotonic() - began)
        api = Remote(server.endpoint)
        try:
            self.check(api)
            self.write(server)
        finally:
            server.kill()
            api.close()

    def check(self, api: Remote) -> None:
        answer = api.call(RANGE, pb.RangeRequest(key=b"\0", range_end=b"\0"))
        known = max(self.revision, *(writer.revision for writer in self.writers))
        assert answer.header.revision >= known, f"revision {answer.header.revision}, {known} was acknowledged"
        self.revision = answer.header.revision
        found = {kv.key: kv for kv in answer.kvs}
        for writer in self.writers:
            assert not writer.wrong, writer.wrong
            writer.check(found)

    def write(self, server: Brainctl) -> None:
        over, apis = threading.Event(), [Remote(server.endpoint) for _ in range(WRITERS + 1)]
        began = time.monotonic()
        seeds = [Random(self.rng.random()) for _ in self.writers]
        threads = [
            threading.Thread(target=writer.write, args=(api, over, rng))
            for writer, api, rng in zip(self.writers, apis, seeds, strict=False)
        ]
        threads.append(threading.Thread(target=self.tidy, args=(apis[-1], over)))
        for thread in threads:
            thread.start()
        known = self.acknowledged
        while self.acknowledged == known and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)  # a kill before anything was written shows nothing
        time.sleep(self.rng.uniform(0.0, 0.5))
        server.kill()
        self.seconds += time.monotonic() - began
        over.set()
        for thread in threads:
            thread.join()
        for api in apis:
            api.close()

    def tidy(self, api: Remote, over: threading.Event) -> None:
        """Compact and defragment, over and over."""
        while not over.is_set():
            try:
                revision = api.call(RANGE, pb.RangeRequest(key=b"-")).header.revision
                api.call("/etcdserverpb.KV/Compact", pb.CompactionRequest(revision=revision))
                api.call("/etcdserverpb.Maintenance/Defragment", pb.DefragmentRequest())
            except Refused as refusal:
                if "compacted" not in refusal.text:
                    return

    @property
    def acknowledged(self) -> int:
        return sum(writer.acknowledged for writer in self.writers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments: Any = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        kills = Kills(Path(name), Random(arguments.seed))
        for number in range(1, arguments.cycles + 1):
            kills.cycle()
            if number % 50 == 0 or number == arguments.cycles:
                rate = kills.acknowledged / kills.seconds
                slowest = sorted(kills.restarts)[int(len(kills.restarts) * 0.99)]
                sys.stdout.write(
                    f"{number} kills, {kills.acknowledged} acknowledged writes ({rate:.0f}/s), 0 lost; "
                    f"start and first answer p99 {slowest:.2f} s\n"
                )
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
