"""Watchers that do not read, for a long time under load: `python -m tests.faults.bounds [--minutes 60]`.

Prints every minute what the server's memory is and how long puts take, then lets the watchers read on, half of them
after a compaction. Exit code 1 when one of them misses an event, or the memory has grown beyond the bound.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.conformance.client import Client
from tests.faults.bounds.resident import resident
from tests.faults.bounds.stalled import StalledWatcher
from tests.faults.bounds.test_watchers import EACH_BYTES, OWN_BYTES
from tests.peers.servers import Brainctl

KEYS = 1000
LATE = 20
"""How many read everything at the end; the others are overtaken by a compaction."""


class Puts:
    """Puts at a rate, and how long they took."""

    def __init__(self, client: Client, rate: float, size: int) -> None:
        self._client, self._rate, self._value = client, rate, bytes(size)
        self._number = 0

    def run(self, seconds: float) -> list[float]:
        """Seconds that each took, sorted."""
        took = []
        begin = time.monotonic()
        while (now := time.monotonic()) < begin + seconds:
            due = begin + len(took) / self._rate
            if now < due:
                time.sleep(due - now)
            started = time.monotonic()
            self._client.put(b"load/%d" % (self._number % KEYS), self._value)
            took.append(time.monotonic() - started)
            self._number += 1
        return sorted(took)


def line(minute: float, server: Brainctl, before: int, took: list[float]) -> str:
    grown = (resident(server.pid) - before) / 1e6
    half, high = took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3
    return f"{minute:7.1f} {grown:12.1f} {len(took):9d} {half:9.2f} {high:9.2f}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--rate", type=float, default=500, help="puts in a second")
    parser.add_argument("--size", type=int, default=1000, help="bytes of a value")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Brainctl(Path(directory)) as server:
        client = Client(server)
        puts = Puts(client, options.rate, options.size)
        every = min(60.0, options.minutes * 60)
        before = resident(server.pid)
        sys.stdout.write(" minute  grown by MB      puts    p50 ms    p99 ms\n")
        sys.stdout.write(line(0, server, before, puts.run(every)))
        watchers = [StalledWatcher(server.port, b"load/", b"load0") for _ in range(options.watchers)]
        first, most = client.revision + 1, 0
        for minute in range(1, max(1, round(options.minutes * 60 / every)) + 1):
            sys.stdout.write(line(minute * every / 60, server, before, puts.run(every)))
            sys.stdout.flush()
            most = max(most, resident(server.pid) - before)
        last = client.revision
        whole = sum(watcher.revisions(last) == (list(range(first, last + 1)), 0) for watcher in watchers[:LATE])
        client.compact(last)
        told = sum(watcher.revisions(last)[1] == last for watcher in watchers[LATE:])
        missed = (last - first + 1) * options.size / 1e6
        sys.stdout.write(
            f"{options.watchers} watchers missed {missed:.0f} MB each, the server grew by {most / 1e6:.0f} MB; of "
            f"{len(watchers[:LATE])} all {whole} then read everything, of {len(watchers[LATE:])} all {told} were told "
            f"the compacted revision\n"
        )
        well = whole == len(watchers[:LATE]) and told == len(watchers[LATE:])
        return 0 if well and most < options.watchers * EACH_BYTES + OWN_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
