"""How puts and gets fare while a large store is compacted and defragmented: etcd and brainctl, one after the other.

    python -m bench.defrag [--megabytes 2048] [--rate 400] [--write]

A store is filled, keys picked at random are written again until a third of it is dead, and then new keys are put at a
steady rate. After some quiet seconds the store is compacted, and then defragmented (etcd's RPC of that name). Shown is,
for each second, the p99 of the puts, counted from when each was due, and the longest time that a get took, of fifty in
each second. --write puts the figures into bench/defrag.json, a table into docs/performance.md, and a plot into
docs/plots/defrag.svg.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.error import HTTPError

from bench.device import post, revision_of
from bench.document import write_tables
from bench.measure import loading
from brainctl.output import plot
from tests.peers import require
from tests.peers.servers import Brainctl, Etcd, Server

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "defrag.json"
DOCUMENT = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "plots" / "defrag.svg"
QUOTA = ("--quota-backend-bytes", str(12 << 30))
VALUE = 4096
QUIET, REST = 10, 5
"""Seconds before the compaction; between compaction and defragmentation, and after it."""
GETS = 50
"""In a second."""
BUSY = ("compaction", "defragmentation")
HEAD = (
    "| | seconds | MB before | after | p99 of puts, quiet | compaction | defragmentation | ratio | worst second "
    "| longest get | of quiet | puts failed |"
)
_SECONDS = 600


class Second(NamedTuple):
    """What was seen in one second; milliseconds."""

    phase: str
    p99: float
    """Of the puts that were answered; how long there was no answer, if there was none."""
    longest_get: float
    errors: int
    """Puts that failed."""


class _Done(Exception):
    """The load is no longer needed."""


class Gets(threading.Thread):
    """Gets one key again and again, and notes how long it took at most."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._longest = 0.0
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(1 / GETS):
            begun = time.monotonic()
            with suppress(HTTPError):  # etcd answers 503 when it has waited too long
                post(self._server, "kv/range", key="ZmlsbC8wMDAwMDAwMQ==")
            self._longest = max(self._longest, time.monotonic() - begun)

    def take(self) -> float:
        """The longest since this was called the last time, milliseconds."""
        longest, self._longest = self._longest, 0.0
        return longest * 1e3

    def stop(self) -> None:
        self._end.set()
        self.join()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.defrag", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2048, help="size of the store before")
    parser.add_argument("--rate", type=int, default=400, help="puts per second")
    parser.add_argument("--server", default="", help="only etcd or brainctl")
    parser.add_argument("--write", action="store_true", help="write the figures, the table and the plot")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    kinds: tuple[tuple[Callable[..., Server], dict[str, bool]], ...] = ((Etcd, {"fsync": True}), (Brainctl, {}))
    for kind, flags in kinds:
        if options.server in kind.__name__.lower():
            with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
                with kind(Path(name, "store"), *QUOTA, **flags) as server:
                    results[server.name] = measure(server, options.megabytes, options.rate)
                print(server.name, json.dumps(results[server.name]), file=sys.stderr)
    if options.write:
        RESULTS.write_text(json.dumps(results, separators=(",", ":")).replace("],[", "],\n[") + "\n")
        write_tables(DOCUMENT, {"defrag": table(results)})
        draw(results)
    print(table(results))


def measure(server: Server, megabytes: int, rate: int) -> dict[str, Any]:
    """One server: a row for each second, and what it came to."""
    keys = (megabytes << 20) * 2 // 3 // VALUE
    with loading(server, ["-op=fill", "-clients=50", f"-size={VALUE}", f"-keys={keys}"]):
        pass
    filled = revision_of(server)
    while revision_of(server) < filled + keys // 2:
        overwrite = ["-op=overwrite", "-clients=50", f"-size={VALUE}", f"-keys={keys}", "-seconds=2", "-warm=0"]
        with loading(server, overwrite) as load:
            assert load is not None
            load.sample()
            load.end()
    before = size(server)
    rows: list[Second] = []
    gets = Gets(server)
    arguments = ["-op=put", "-clients=50", "-size=1024", f"-rate={rate}", f"-seconds={_SECONDS}", "-sample=1"]
    took = {}
    with suppress(_Done), loading(server, arguments) as load:
        assert load is not None
        gets.start()

        def seconds(phase: str, number: int = _SECONDS, until: Callable[[], bool] = lambda: False) -> None:
            still = 0.0
            for _ in range(number):
                sample = load.sample()
                failed = sum(sample["errors"].values())
                still = 0.0 if sample["operations"] else still + 1e3  # no put was answered in this second
                rows.append(Second(phase, max(sample["p99_us"] / 1e3, still), gets.take(), failed))
                if until():
                    return

        seconds("quiet", QUIET)
        for phase, call in (
            ("compaction", lambda: post(server, "kv/compaction", revision=str(revision_of(server)), physical=True)),
            ("defragmentation", lambda: defragment(server)),
        ):
            thread = threading.Thread(target=call)
            begun = time.monotonic()
            thread.start()
            seconds(phase, until=partial(_ended, thread))
            took[phase] = time.monotonic() - begun
            seconds(f"after {phase}", REST)
        gets.stop()
        raise _Done
    return {"seconds": took, "size_before": before, "size_after": size(server), "rows": rows, **figures(rows)}


def defragment(server: Server) -> None:
    """Have it defragmented, by etcd's own command."""
    command = [str(require("etcdctl")), f"--endpoints={server.endpoint}", f"--command-timeout={_SECONDS}s", "defrag"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _ended(thread: threading.Thread) -> bool:
    return not thread.is_alive()


def size(server: Server) -> int:
    """Bytes of the files that hold the data: without etcd's log, and without log space that was only prepared."""
    return int(post(server, "maintenance/status")["dbSize"])


def figures(rows: list[Second]) -> dict[str, float]:
    """Of each phase the median of the p99 of its seconds; of what is done, the worst second and the longest get."""
    busy = [row for row in rows if row.phase in BUSY]
    p99 = {phase: median(row.p99 for row in rows if row.phase == phase) for phase in ("quiet", *BUSY)}
    return {
        **{f"{phase}_p99_ms": found for phase, found in p99.items()},
        "ratio": max(p99[phase] for phase in BUSY) / p99["quiet"],
        "worst_p99_ms": max(row.p99 for row in busy),
        "quiet_worst_p99_ms": max(row.p99 for row in rows if row.phase == "quiet"),
        "errors": sum(row.errors for row in rows),
        "longest_get_ms": max(row.longest_get for row in busy),
        "quiet_longest_get_ms": max(row.longest_get for row in rows if row.phase == "quiet"),
    }


def table(results: dict[str, Any]) -> str:
    """A row for each server."""
    lines = [
        HEAD,
        "|---|" + "---:|" * 11,
    ]
    for name, found in results.items():
        lines.append(
            f"| {name} | {sum(found['seconds'].values()):.0f} | {found['size_before'] >> 20} "
            f"| {found['size_after'] >> 20} | {found['quiet_p99_ms']:.0f} ms | {found['compaction_p99_ms']:.0f} ms "
            f"| {found['defragmentation_p99_ms']:.0f} ms | **{found['ratio']:.1f}** | {found['worst_p99_ms']:.0f} ms "
            f"| {found['longest_get_ms']:.0f} ms | {found['quiet_longest_get_ms']:.0f} ms | {found['errors']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any]) -> None:
    """The p99 of the puts over time."""
    PLOT.parent.mkdir(exist_ok=True)
    series: dict[str, plot.Points] = {}
    for name, found in results.items():
        p99 = [max(row.p99, 0.01) for row in map(Second._make, found["rows"])]
        series[name] = [float(second) for second in range(len(p99))], p99
    title = f"p99 of puts while a store is compacted (at {QUIET} s) and defragmented"
    plot.lines(PLOT, title, "seconds", "milliseconds", series, log="y")


if __name__ == "__main__":
    main()
