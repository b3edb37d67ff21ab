"""`brainctl migrate` beside `etcdctl make-mirror`: python -m bench.migration [--keys 1000000] [--tikv] [--write].

The source is a real etcd. The base copy is measured in keys per second, with the same keys for all; make-mirror, which
puts one key after the other into a second etcd, is stopped after a while. Then the source is changed at a steady rate
while the migration follows, and the lag is measured from outside: when the migration says that it is at revision R,
how long ago did the source go beyond R? With --write the figures go into bench/migration.json and docs/performance.md.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any, Self

from bench.document import number, write_tables
from bench.measure import loading
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from tests.peers import require
from tests.peers.servers import Etcd, Playground, Server, brainctl_argv, clean_environment

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "migration.json"
QUOTA = ("--quota-backend-bytes", str(8 << 30))
SIZE = 256
POLL_SECONDS = 0.02
SETTLE = 3
"""Samples of the lag that are left out: the migration opens its stores meanwhile."""


def mirror(source: Server, target: Server, keys: int, seconds: float) -> dict[str, float]:
    """How many keys make-mirror copies in so many seconds, or until it has all."""
    argv = [str(require("etcdctl")), "make-mirror", "--endpoints", source.endpoint, target.endpoint]
    begun = perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while (copied := asyncio.run(_count(target))) < keys and perf_counter() - begun < seconds:
                process.poll()
                assert process.returncode is None, "make-mirror ended"
            taken = perf_counter() - begun
        finally:
            process.kill()
    return {"keys": copied, "seconds": taken, "keys_per_second": copied / taken}


def base_copy(source: Server, url: str, keys: int) -> dict[str, float]:
    """A migration of the newest state, as a whole process."""
    begun = perf_counter()
    subprocess.run(_migrate(source, url, "--history", "none"), env=clean_environment(), check=True, capture_output=True)
    taken = perf_counter() - begun
    return {"keys": keys, "seconds": taken, "keys_per_second": keys / taken}


def lag(source: Server, url: str, rate: float, seconds: float) -> dict[str, Any]:
    """How far a migration that follows is behind, each second, while the source changes."""
    with Revisions(source) as revisions:
        argv = _migrate(source, url, "--history", "none", "--follow")
        with subprocess.Popen(
            argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=clean_environment()
        ) as process:
            assert process.stderr is not None
            samples = []
            arguments = ["-op=put", f"-size={SIZE}", "-clients=50", f"-rate={rate}", f"-seconds={seconds}"]
            with loading(source, arguments) as load:
                assert load is not None
                end = perf_counter() + seconds
                while perf_counter() < end:
                    line = json.loads(process.stderr.readline())
                    if line["kind"] == "progress":
                        samples.append(revisions.age(int(line["watermark"])))
                result = load.sample()
                load.end()
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
    samples = sorted(samples[SETTLE:])
    return {
        "changes_per_second": result["operations"] / result["seconds"],
        "samples": len(samples),
        "median_seconds": samples[len(samples) // 2],
        "p99_seconds": samples[len(samples) * 99 // 100],
    }


class Revisions:
    """When a server was seen at which revision, from a thread that asks all the time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: list[int] = [0]
        self._times: list[float] = [perf_counter()]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._poll()))

    def age(self, revision: int) -> float:
        """How long ago the server was first seen beyond a revision; 0 when it was not."""
        index = bisect_right(self._seen, revision)
        return perf_counter() - self._times[index] if index < len(self._seen) else 0.0

    async def _poll(self) -> None:
        store = EtcdStore(EtcdTarget((self._server.endpoint,)))
        while not self._stop.is_set():
            revision = (await store.range(pb.RangeRequest(key=b"-", count_only=True))).header.revision
            if revision > self._seen[-1]:
                self._times.append(perf_counter())
                self._seen.append(revision)
            await asyncio.sleep(POLL_SECONDS)
        await store.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


async def _count(server: Server) -> int:
    store = EtcdStore(EtcdTarget((server.endpoint,)))
    await asyncio.sleep(0.2)
    count = (await store.range(pb.RangeRequest(key=b"\0", range_end=b"\0", count_only=True))).count
    await store.close()
    return count


def _migrate(source: Server, url: str, *flags: str) -> list[str]:
    return [*brainctl_argv(), "migrate", "--from", f"etcd://{source.endpoint}", "--to", url, *flags]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; the figures as they are written."""
    results: dict[str, Any] = {"keys": options.keys, "value_bytes": SIZE, "rate": options.rate}
    with tempfile.TemporaryDirectory(dir=options.directory, prefix=".bench-") as name, ExitStack() as stack:
        source = stack.enter_context(Etcd(Path(name, "source"), *QUOTA, fsync=True))
        with loading(source, ["-op=fill", f"-keys={options.keys}", f"-size={SIZE}"]):
            pass
        with Etcd(Path(name, "mirror"), *QUOTA, fsync=True) as target:
            results["make-mirror"] = mirror(source, target, options.keys, options.mirror_seconds)
        urls = {"file": f"file://{name}/file"}
        if options.tikv:
            urls["tikv"] = stack.enter_context(Playground(Path(name, "tikv"))).url("bench")
        for kind, url in urls.items():
            results[kind] = base_copy(source, url, options.keys)
            results[f"{kind} lag"] = lag(source, url, options.rate, options.seconds)
    return results


def migration_table(results: Mapping[str, Any]) -> str:
    """Speed of the base copy and lag, by target."""
    base = results["make-mirror"]["keys_per_second"]
    lines = ["| | keys/s of the base copy | of make-mirror | changes/s | lag, median s | lag, p99 s |"]
    lines += ["|---|---:|---:|---:|---:|---:|", f"| etcdctl make-mirror | {number(base)} | 1 | | | |"]
    for kind in ("file", "tikv"):
        if kind in results:
            speed, late = results[kind]["keys_per_second"], results[f"{kind} lag"]
            cells = (number(late[n]) for n in ("changes_per_second", "median_seconds", "p99_seconds"))
            copied = f"{number(speed)} | **{number(speed / base)}**"
            lines.append(f"| brainctl migrate to {kind}:// | {copied} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.migration", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--mirror-seconds", type=float, default=30.0, help="how long make-mirror may copy")
    parser.add_argument("--rate", type=float, default=2000.0, help="changes per second while it follows")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it follows")
    parser.add_argument("--tikv", action="store_true", help="to TiKV too")
    parser.add_argument("--directory", type=Path, default=ROOT, help="where the stores lie for the time")
    parser.add_argument("--write", action="store_true", help="write the figures and the table")
    options = parser.parse_args()
    results = run(options)
    text = migration_table(results)
    print(text)
    if options.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_tables(ROOT / "docs" / "performance.md", {"migration": text})


if __name__ == "__main__":
    main()
