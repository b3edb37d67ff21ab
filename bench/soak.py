"""brainctl at full load for a long time: python -m bench.soak [--minutes 30] [--rate 0] [--write].

A server with TLS, compacted automatically, under the Kubernetes-like load of bench/load: guarded writes, reads, 1 000
watchers, leases that are kept alive and leases that end. Exit code 1 when the verdict (bench/verdict.py) finds a fault.
With --write the samples go into bench/soak.json, and from there into docs/performance.md and docs/plots/soak.svg.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from bench.document import write_tables
from bench.measure import Load, cpu_seconds, loading, resident_bytes
from bench.verdict import Moment, faults, soak_table
from brainctl.output import plot
from tests.peers.certificates import Authority
from tests.peers.servers import Brainctl

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "soak.json"
RETENTION = "1m"
FLAGS = ("--auto-compaction-mode", "periodic", "--auto-compaction-retention", RETENTION)
PUT = "update"


class Size(NamedTuple):
    """How much load."""

    clients: int = 100
    keys: int = 10_000
    watchers: int = 1000
    rate: float = 0
    """Calls per second, 0 for as many as it takes."""
    ttl: int = 5

    def arguments(self) -> list[str]:
        return ["-op=kubernetes", "-size=1000", *(f"-{name}={value}" for name, value in self._asdict().items())]


def soak(directory: Path, seconds: float, every: float, size: Size) -> dict[str, Any]:
    """Run; the moments, what the load said at the end, and under which conditions it was."""
    authority = Authority(directory, "authority")
    moments: list[Moment] = []
    with Brainctl(directory / "server", *FLAGS, authority=authority) as server:
        arguments = [f"-seconds={seconds}", f"-sample={every}", *size.arguments()]
        with loading(server, arguments, authority) as load:
            assert load is not None
            watch = Watch(server, load)
            while not moments or moments[-1].second < seconds - every / 2:
                moments.append(watch.moment(moments[-1].second if moments else 0.0))
                print(_line(moments[-1]), file=sys.stderr)
            end = load.end()
            end["errors"] = watch.errors + Counter(end["errors"])
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "load": size._asdict(),
        "retention": RETENTION,
        "end": end,
        "moments": [moment._asdict() for moment in moments],
    }


class Watch:
    """Looks at a server and its load."""

    def __init__(self, server: Brainctl, load: Load) -> None:
        self._server = server
        self._load = load
        self._cpu = cpu_seconds(server.pid)
        self._busy = _busy_seconds()
        self.errors = Counter[str]()
        """By kind and status, of all the time."""

    def moment(self, before: float) -> Moment:
        """Wait for the next sample of the load."""
        result = self._load.sample()
        self.errors.update(result["errors"])
        pid = self._server.pid
        cpu, busy, seconds = cpu_seconds(pid), _busy_seconds(), result["seconds"]
        resident, anonymous = resident_bytes(pid)
        put = result["kinds"].get(PUT, {"p50_us": 0, "p99_us": 0})
        others = busy - self._busy - (cpu - self._cpu) - result["load_cpu_seconds"]
        moment = Moment(
            second=before + seconds,
            per_second=result["operations"] / seconds,
            put_p50_ms=put["p50_us"] / 1e3,
            put_p99_ms=put["p99_us"] / 1e3,
            events_per_second=result["events"] / seconds,
            events_behind=result["expected_events"] - result["arrived_events"],
            errors=sum(result["errors"].values()),
            late=result["late"],
            resident=resident,
            anonymous=anonymous,
            store=_size(self._server.directory / "data"),
            descriptors=len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208
            cpu=(cpu - self._cpu) / seconds,
            load_cpu=result["load_cpu_seconds"] / seconds,
            others_cpu=max(0.0, others / seconds),
        )
        self._cpu, self._busy = cpu, busy
        return moment


def _size(directory: Path) -> int:
    """What the files take on the disk, bytes."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue  # reclaimed meanwhile
    return total


def _busy_seconds() -> float:
    """Time that all processors together were not idle (proc(5), stat)."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _line(m: Moment) -> str:
    return (f"{m.second:6.0f} s {m.per_second:8.0f}/s put p50 {m.put_p50_ms:.1f} p99 {m.put_p99_ms:.1f} ms "
            f"{m.events_per_second:8.0f} events/s (behind {m.events_behind}) {m.resident >> 20} MiB, "
            f"{m.store >> 20} MiB on disk, {m.descriptors} fds, CPU {m.cpu:.2f} + {m.load_cpu:.2f} + others "
            f"{m.others_cpu:.2f}, late {m.late}, errors {m.errors}")  # fmt: skip


def render(results: dict[str, Any]) -> None:
    """Write the table and the plot."""
    write_tables(ROOT / "docs" / "performance.md", {"soak": soak_table(results)})
    moments = [Moment(**moment) for moment in results["moments"]]
    minutes = [moment.second / 60 for moment in moments]

    def line(of: str, scale: float = 1) -> plot.Points:
        return minutes, [getattr(moment, of) / scale for moment in moments]

    picture = ROOT / "docs" / "plots" / "soak.svg"
    picture.parent.mkdir(exist_ok=True)
    plot.panels(
        picture,
        "brainctl serve under load",
        "minutes",
        {
            "memory, MiB": {"resident": line("resident", 1 << 20), "anonymous": line("anonymous", 1 << 20)},
            "put, ms": {"p50": line("put_p50_ms"), "p99": line("put_p99_ms")},
            "per second": {"calls": line("per_second"), "events": line("events_per_second")},
            "processors": {"server": line("cpu"), "load": line("load_cpu"), "others": line("others_cpu")},
            "store, MiB": {"": line("store", 1 << 20)},
        },
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=0.0, help="calls per second; 0: as many as it takes")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two samples")
    parser.add_argument("--directory", type=Path, default=ROOT, help="where the store lies for the time")
    parser.add_argument("--write", action="store_true", help="write the figures, the table and the plot")
    parser.add_argument("--render", action="store_true", help="run nothing, write the table and the plot again")
    options = parser.parse_args()
    if options.render:
        render(json.loads(RESULTS.read_text()))
        return 0
    size = Size(options.clients, watchers=options.watchers, rate=options.rate)
    with tempfile.TemporaryDirectory(dir=options.directory, prefix=".soak-") as name:
        results = soak(Path(name), options.minutes * 60, options.every, size)
    print(soak_table(results))
    if options.write:
        RESULTS.write_text(json.dumps(results) + "\n")
        render(results)
    found = faults(results)
    for fault in found:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
