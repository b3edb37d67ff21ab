"""Bytes that reach the device for each byte of change, and flushes for each put: etcd and brainctl, each on a device of
its own.

    python -m bench.device [--seconds 10] [--only NAME] [--write]

The device is a loop device with a fresh ext4, made and removed here, so this needs root; what it has written is what
/sys/block/loopN/stat says (/proc/PID/io counts something else), from when nothing more is written before the
measurement to when nothing more is written after it: reclaim is counted with the puts that made it worth while. A
byte of change is a byte of a key or of a value that was put. Prints a table; --write puts it into
docs/performance.md, the figures into bench/device.json, and a plot into docs/plots/write-amplification.svg.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from bench.devicetrace import metadata_bytes
from bench.document import write_tables
from bench.loopdevice import Counted, LoopDevice, loop_device
from bench.measure import loading
from brainctl.engine.stats import CATEGORIES
from brainctl.output import plot
from tests.peers.servers import Brainctl, Etcd, Server

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "device.json"
DOCUMENT = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "plots" / "write-amplification.svg"
IMAGE_BYTES = 16 << 30
"""Of the sparse file under the device."""
QUOTA = ("--quota-backend-bytes", str(12 << 30))
OVERWRITTEN = 100_000
COMPACT_SECONDS = 2.0
QUIET_BYTES = 1 << 20
"""A device is quiet that writes less between two compactions."""
KEY_BYTES = {"put": 16, "overwrite": 13}
"""Of the keys of the load generator."""


HEAD = (
    "| load | etcd | brainctl | ratio | log, padding | zeros | reclaim | index, meta | file system | sum / device "
    "| flushes per put, etcd | brainctl |"
)


class Load(NamedTuple):
    """One row of the table."""

    name: str
    operation: str
    clients: int
    size: int
    rate: int = 0
    """Puts begun per second; 0: each client begins when its last put is over."""


LOADS = (
    Load("new keys of 1 KiB, 50 clients", "put", 50, 1024),
    Load("new keys of 4 KiB, 50 clients", "put", 50, 4096),
    Load("100 000 keys of 1 KiB overwritten, 50 clients", "overwrite", 50, 1024),
    Load("100 000 keys of 4 KiB overwritten, 50 clients", "overwrite", 50, 4096),
    Load("new keys of 1 KiB, 50 clients, 150 puts/s", "put", 50, 1024, 150),
    Load("new keys of 1 KiB, 1 client", "put", 1, 1024),
    Load("100 000 keys of 1 KiB overwritten, 1 client", "overwrite", 1, 1024),
)


class Row(NamedTuple):
    """What one load made one server write, per byte of change unless it says otherwise."""

    puts: int
    per_second: float
    device: float
    flushes_per_put: float
    request_bytes: float
    """Mean size of a request to the device."""
    file_system: float | None
    """Of it, the file system's own; None where the kernel does not tell."""
    categories: dict[str, float]
    """What the engine says; empty for etcd."""

    @property
    def agreement(self) -> float | None:
        """What the engine and the file system have written, by what the device has; None when that is not known."""
        if not self.categories or self.file_system is None:
            return None
        return (sum(self.categories.values()) + self.file_system) / self.device


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.device", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a measurement")
    parser.add_argument("--only", default="", help="only loads whose name contains this")
    parser.add_argument("--work", type=Path, default=ROOT, help="where the file under the device is made")
    parser.add_argument("--server", default="", help="only etcd or brainctl")
    parser.add_argument("--write", action="store_true", help="write the figures, the table and the plot")
    options = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    for load in LOADS:
        if options.only in load.name:
            for server in (Etcd, Brainctl):
                if options.server in server.name:
                    row = measure(server, load, options.seconds, options.work)
                    results.setdefault(load.name, {})[server.name] = {**row._asdict(), "agreement": row.agreement}
                    print(load.name, server.name, row, row.agreement, file=sys.stderr)
    if options.write:
        old = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results = {load.name: found for load in LOADS if (found := results.get(load.name) or old.get(load.name))}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_tables(DOCUMENT, {"device": table(results)})
        draw(results)
    print(table(results))


def measure(kind: Callable[..., Server], load: Load, seconds: float, work: Path) -> Row:
    """One load on one server on a fresh device."""
    with (
        tempfile.TemporaryDirectory(dir=work, prefix=".bench-") as name,
        loop_device(Path(name), IMAGE_BYTES) as device,
        metadata_bytes(Path(name), device.name) as metadata,
    ):
        flags: dict[str, Any] = {"fsync": True} if kind is Etcd else {}
        with kind(device.directory / "store", *QUOTA, **flags) as server:
            return _measure(server, load, seconds, device, metadata)


def _measure(server: Server, load: Load, seconds: float, device: LoopDevice, metadata: Callable[[], int | None]) -> Row:
    arguments = [f"-op={load.operation}", f"-clients={load.clients}", f"-size={load.size}", f"-rate={load.rate}"]
    arguments.append(f"-keys={OVERWRITTEN}")
    overwriting = load.operation == "overwrite"
    if overwriting:
        with loading(server, ["-op=fill", "-clients=50", f"-size={load.size}", f"-keys={OVERWRITTEN}"]):
            pass
    with compacting(server) if overwriting else nothing():
        if overwriting:  # until every segment holds overwritten keys, whatever the number of clients
            _run(server, [*arguments[:1], "-clients=50", *arguments[2:]], seconds)
        elif load.rate == 0:
            _run(server, arguments, 1.0)
        before = settled(device)
        metadata()
        categories, revision = written(server), revision_of(server)
        begun = time.monotonic()
        _run(server, arguments, seconds)
        elapsed = time.monotonic() - begun
        counted, own = settled(device).since(before), metadata()
    puts = revision_of(server) - revision
    change = puts * (load.size + KEY_BYTES[load.operation])
    after = written(server)
    return Row(
        puts,
        puts / elapsed,
        counted.written / change,
        counted.flushes / puts,
        counted.written / max(counted.writes, 1),
        None if own is None else own / change,
        {category: (after[category] - categories[category]) / change for category in after},
    )


def settled(device: LoopDevice) -> Counted:
    """What was written once nobody writes: what puts leave behind to be compacted and reclaimed is theirs, too."""
    os.sync()
    before = device.counted()
    while True:
        time.sleep(COMPACT_SECONDS + 1)
        os.sync()
        now = device.counted()
        if now.since(before).written < QUIET_BYTES:
            return now
        before = now


def _run(server: Server, arguments: list[str], seconds: float) -> None:
    with loading(server, [*arguments, f"-seconds={seconds}", "-warm=0"]) as load:
        assert load is not None
        assert not load.sample()["errors"]
        load.end()


@contextmanager
def compacting(server: Server) -> Iterator[None]:
    """Compact the store to what it is now, every COMPACT_SECONDS."""
    stop = threading.Event()

    def run() -> None:
        compacted = 0
        while not stop.wait(COMPACT_SECONDS):
            revision = revision_of(server)
            if revision > compacted:
                post(server, "kv/compaction", revision=str(revision))
                compacted = revision

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def nothing() -> Iterator[None]:
    """For a load that needs no compaction."""
    yield


def revision_of(server: Server) -> int:
    """The revision of the store."""
    return int(post(server, "maintenance/status")["header"]["revision"])


def written(server: Server) -> dict[str, int]:
    """Bytes by category, as brainctl counts them; empty for etcd."""
    with urlopen(f"http://{server.endpoint}/metrics") as page:
        lines = page.read().decode().splitlines()
    found = (line.partition('brainctl_engine_written_bytes_total{category="')[2].partition('"} ') for line in lines)
    counted = {name: int(float(value)) for name, quote, value in found if quote}
    assert not counted or set(counted) == set(CATEGORIES)
    return counted


def post(server: Server, path: str, **fields: str | bool) -> dict[str, Any]:
    """Call the JSON gateway."""
    body = json.dumps(fields).encode()
    with urlopen(Request(f"http://{server.endpoint}/v3/{path}", body)) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    """Bytes at the device per byte of change, and flushes per put."""
    lines = [
        HEAD,
        "|---|" + "---:|" * 11,
    ]
    for name, servers in results.items():
        etcd, ours = servers.get("etcd"), servers.get("brainctl")
        if etcd and ours:
            parts = ours["categories"]
            own, agreement = ours["file_system"], ours["agreement"]
            cells = [
                f"{etcd['device']:.2f}",
                f"**{ours['device']:.2f}**",
                f"{ours['device'] / etcd['device']:.2f}",
                f"{parts['log'] + parts['padding']:.2f}",
                f"{parts['zero']:.2f}",
                f"{parts['reclaim']:.2f}",
                f"{parts['index'] + parts['meta']:.2f}",
                "?" if own is None else f"{own:.2f}",
                "?" if agreement is None else f"{agreement:.3f}",
                f"{etcd['flushes_per_put']:.3f}",
                f"**{ours['flushes_per_put']:.3f}**",
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(results: dict[str, dict[str, Any]]) -> None:
    """The same as a picture."""
    PLOT.parent.mkdir(exist_ok=True)
    both = {name: servers for name, servers in results.items() if len(servers) == 2}
    names = [name.replace(", ", "\n").replace("100 000 keys", "keys") for name in both]
    series = {server: [found[server]["device"] for found in both.values()] for server in ("etcd", "brainctl")}
    plot.bars(PLOT, "Bytes written to the device per byte of change (less is better)", "", names, series, log=True)


if __name__ == "__main__":
    main()
