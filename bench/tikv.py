"""Puts of many clients over TiKV: python -m bench.tikv [--rounds 3] [--seconds 4] [--write].

`brainctl serve --store tikv://` gathers the puts of all clients into transactions. Beside it is what a transaction for
each put does, as KubeBrain has it: read the newest revision of the key, write that and the value under its revision,
commit. Both on the same cluster (a real Placement Driver and unistore), in turns, with as many clients and as large
values. With --write the figures go into bench/tikv.json and docs/performance.md.
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
from bench.measure import measure
from bench.workloads import Workload
from brainctl.tikv.client import open_client
from tests.peers.servers import Brainctl, Playground

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "tikv.json"
SIZE = 256


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


def run(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure; the figures as they are written."""
    results: dict[str, Any] = {"rounds": rounds, "seconds": seconds, "clients": {}}
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
            results["clients"][str(clients)] = {
                "one_by_one": median(alone),
                "brainctl": median(gathered),
                "brainctl_cpu_us": median(cpu),
                "ratio": median(ours / theirs for ours, theirs in zip(gathered, alone, strict=True)),
            }
    return results


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
    parser.add_argument("--write", action="store_true", help="write the figures and the table")
    options = parser.parse_args()
    results = run(options.rounds, options.seconds)
    text = tikv_table(results)
    print(text)
    if options.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_tables(ROOT / "docs" / "performance.md", {"tikv": text})


if __name__ == "__main__":
    main()
