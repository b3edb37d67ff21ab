"""Puts and reads over TiKV: python -m bench.tikv [--only puts|reads] [--rounds 3] [--seconds 4] [--write].

`brainctl serve --store tikv://` gathers the puts of all clients into transactions. Beside it is what a transaction for
each put does, as KubeBrain has it: read the newest revision of the key, write that and the value under its revision,
commit. Both on the same cluster (a real Placement Driver and unistore), in turns, with as many clients and as large
values. Gets and lists are beside those of an etcd on the same machine. With --write the figures go into bench/tikv.json
and docs/performance.md.
"""

import argparse
import asyncio
import json
import multiprocessing
import tempfile
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from bench.document import number, write_tables
from bench.measure import Sample, measure
from bench.workloads import Workload, fill
from brainctl.tikv.client import open_client
from tests.peers.servers import Brainctl, Etcd, Playground

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "tikv.json"
SIZE = 256
READS = (
    fill(10_000, SIZE),
    Workload("get serializable, 1 client", "get", 1, least_bytes=SIZE),
    Workload("get serializable, 100 clients", "get", 100, least_bytes=SIZE),
    Workload("get linearizable, 100 clients", "get-linear", 100, least_bytes=SIZE),
    fill(10_000, 512),
    Workload("list 10 000 x 512 B, 4 clients", "list", 4, least_bytes=5_120_000),
)


def one_by_one(endpoint: str, prefix: str, clients: int, seconds: float) -> float:
    """Puts per second, each a transaction of its own, from a process of their own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_one_by_one, (endpoint, prefix, clients, seconds))


def _one_by_one(endpoint: str, prefix: str, clients: int, seconds: float) -> float:
    return asyncio.run(_run(endpoint, prefix.encode(), clients, seconds))


async def _run(endpoint: str, prefix: bytes, clients: int, seconds: float) -> float:
    client, numbers, value = open_client([endpoint]), count(), bytes(SIZE)
    await client.timestamp()
    done, begun = 0, perf_counter()

    async def put() -> None:
        nonlocal done
        while perf_counter() < begun + seconds:
            key = prefix + b"%012d" % next(numbers)
            transaction = await client.begin()
            newest = (await transaction.get([key])).get(key, bytes(8))
            revision = (int.from_bytes(newest) + 1).to_bytes(8)
            await transaction.commit({key: revision, key + revision: value})
            done += 1

    await asyncio.gather(*(put() for _ in range(clients)))
    taken = perf_counter() - begun
    await client.close()
    return done / taken


def puts(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure puts; the figures by the number of clients."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, Playground(Path(name, "cluster")) as cluster:
        for clients in (1, 100):
            alone, gathered, cpu = [], [], []
            for turn in range(rounds):
                prefix = f"{clients}-{turn}"
                alone.append(one_by_one(cluster.endpoint, f"alone-{prefix}/", clients, seconds))
                with Brainctl(Path(name, prefix), store=cluster.url(prefix)) as server:
                    sample = measure(server, Workload("put", "put", clients, size=SIZE), seconds)
                assert sample is not None
                gathered.append(sample.per_second)
                cpu.append(sample.cpu_us)
            results[str(clients)] = {
                "one_by_one": median(alone),
                "brainctl": median(gathered),
                "brainctl_cpu_us": median(cpu),
                "ratio": median(ours / theirs for ours, theirs in zip(gathered, alone, strict=True)),
            }
    return results


def reads(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure gets and lists, of etcd and of brainctl over TiKV in turns; the figures by the name of the workload."""
    samples: dict[tuple[str, str], list[Sample]] = {}
    with tempfile.TemporaryDirectory() as name, Playground(Path(name, "cluster")) as cluster:
        for turn in range(rounds):
            place = Path(name, f"reads-{turn}")
            servers = (Etcd(place / "etcd", fsync=True), Brainctl(place / "ours", store=cluster.url(f"reads-{turn}")))
            for server in servers:
                with server:
                    for workload in READS:
                        sample = measure(server, workload, seconds)
                        if sample is not None:
                            samples.setdefault((workload.name, server.name), []).append(sample)
    return {
        workload.name: compared(samples[workload.name, "etcd"], samples[workload.name, "brainctl"])
        for workload in READS
        if workload.name
    }


def compared(etcd: list[Sample], ours: list[Sample]) -> dict[str, float]:
    """The figures of one workload: medians, and that of the ratios of each round."""
    return {
        "etcd": median(sample.per_second for sample in etcd),
        "brainctl": median(sample.per_second for sample in ours),
        "ratio": median(mine.per_second / theirs.per_second for theirs, mine in zip(etcd, ours, strict=True)),
        "brainctl_cpu_us": median(sample.cpu_us for sample in ours),
    }


def reads_table(results: dict[str, Any]) -> str:
    """Reads per second by workload."""
    lines = ["| workload | etcd op/s | op/s over TiKV | ratio | its CPU us/op |", "|---|---:|---:|---:|---:|"]
    for name, row in results["reads"].items():
        speeds = f"{number(row['etcd'])} | {number(row['brainctl'])}"
        lines.append(f"| {name} | {speeds} | **{number(row['ratio'])}** | {number(row['brainctl_cpu_us'])} |")
    return "\n".join(lines) + "\n"


def tikv_table(results: dict[str, Any]) -> str:
    """Puts per second by the number of clients."""
    lines = ["| clients | puts/s, a transaction each | puts/s of brainctl | ratio | its CPU us/put |"]
    lines.append("|---:|---:|---:|---:|---:|")
    for clients, row in results["clients"].items():
        speeds = f"{number(row['one_by_one'])} | {number(row['brainctl'])}"
        lines.append(f"| {clients} | {speeds} | **{number(row['ratio'])}** | {number(row['brainctl_cpu_us'])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.tikv", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", choices=("puts", "reads"), help="measure these alone, and keep the other figures")
    parser.add_argument("--write", action="store_true", help="write the figures and the tables")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) | {"rounds": options.rounds, "seconds": options.seconds}
    if options.only != "reads":
        results["clients"] = puts(options.rounds, options.seconds)
        print(tikv_table(results))
    if options.only != "puts":
        results["reads"] = reads(options.rounds, options.seconds)
        print(reads_table(results))
    if options.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        tables = {"tikv": tikv_table(results), "tikv-reads": reads_table(results) if "reads" in results else ""}
        write_tables(ROOT / "docs" / "performance.md", tables)


if __name__ == "__main__":
    main()
