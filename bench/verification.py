"""Measure verification: python -m bench.verification [--operations 1000000] [--keys 1000000] [--write].

A history of random operations without a fault is checked by `brainctl check history`. Then stores with equal keys of
512 bytes are compared by `brainctl verify`: two directories, two servers, and an etcd with a directory into which it
was migrated. Each is a whole process, of which wall time, processor time and peak memory are taken. With --write the
figures go into bench/verification.json and docs/verification.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, NamedTuple

from bench.document import number, write_tables
from bench.measure import loading
from tests.peers.servers import Brainctl, Etcd, Server, brainctl_argv, clean_environment

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "verification.json"
QUOTA = ("--quota-backend-bytes", str(8 << 30))
SIZE = 512
CLIENTS = 50
KEYS = 1000
"""Keys of the history."""
MARK = 100
"""Operations between two marks of the recorder."""


class Cost(NamedTuple):
    """Wall time, processor time and peak memory of one process."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def cost(*argv: str) -> Cost:
    """Run a command of brainctl to its end."""
    begun = perf_counter()
    quiet = subprocess.DEVNULL
    child = subprocess.Popen([*brainctl_argv(), *argv], env=clean_environment(), stdout=quiet, stderr=quiet)
    _, status, usage = os.wait4(child.pid, 0)
    taken = perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, f"brainctl {' '.join(argv)} ended with {child.returncode}"
    return Cost(taken, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def history(operations: int, random: Random) -> Iterator[dict[str, Any]]:
    """Yield the lines of a linearizable history: each operation takes effect when it returns."""
    revision, now = 1, 0
    state: dict[str, list[Any]] = {}
    begun = [0] * CLIENTS
    yield {"brainctl_history": 1, "revision": revision, "prefix": "/h/", "exclusive": True}
    for place in range(operations):
        if place % MARK == 0:
            yield {"op": "open", "since": min(begun)}
        now += 1000
        client = random.randrange(CLIENTS)
        key = f"/h/{random.randrange(KEYS):04}"
        line = {"client": client, "endpoint": 0, "called": begun[client] + 1, "returned": now, "key": key}
        if random.random() < 0.5:
            revision += 1
            _, created, _, version, _, _ = state.get(key, [key, revision, 0, 0, "", 0])
            state[key] = [key, created, revision, version + 1, f"{client}.{place}", 0]
            yield {"op": "put", **line, "value": f"{client}.{place}", "rev": revision}
        else:
            kvs = [state[key]] if key in state else []
            yield {"op": "range", **line, "kvs": kvs, "count": len(kvs), "rev": revision}
        begun[client] = now


def checked(operations: int, scratch: Path) -> Cost:
    """Write a history of `operations` operations, and run the checker on it."""
    file = scratch / "history.jsonl"
    with file.open("w") as out:
        out.writelines(json.dumps(line) + "\n" for line in history(operations, Random(1)))
    return cost("check", "history", str(file))


def compared(keys: int, scratch: Path) -> dict[str, Cost]:
    """Compare equal stores of every kind."""
    found = {}
    with Brainctl(scratch / "one", *QUOTA) as one:
        fill(one, keys)
        one.stop()
        shutil.copytree(scratch / "one", scratch / "two")
        one.start()
        with Brainctl(scratch / "two", *QUOTA) as two:
            found["two servers"] = cost("verify", "--from", f"etcd://{one.endpoint}", "--to", f"etcd://{two.endpoint}")
    found["two directories"] = cost("verify", "--from", data(scratch / "one"), "--to", data(scratch / "two"))
    with Etcd(scratch / "etcd", *QUOTA) as etcd:
        fill(etcd, keys)
        source, target = f"etcd://{etcd.endpoint}", f"file://{scratch / 'copy'}"
        cost("migrate", "--from", source, "--to", target, "--history", "none")
        found["an etcd and a directory"] = cost("verify", "--from", source, "--to", target)
    return found


def fill(server: Server, keys: int) -> None:
    """Write keys of SIZE bytes."""
    with loading(server, ["-op=fill", "-first=0", f"-keys={keys}", f"-size={SIZE}"]):
        pass


def data(place: Path) -> str:
    """Return the URL of the directory of a server."""
    return f"file://{place / 'data'}"


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return the figures as a table."""
    head = "| | seconds | of processor | peak memory, MiB |\n|---|---|---|---|\n"
    lines = (f"| {name} | {' | '.join(map(number, row.values()))} |\n" for name, row in rows.items())
    return head + "".join(lines)


def main() -> None:
    """Measure, print, and write with --write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        costs = {f"a history of {number(given.operations)} operations": checked(given.operations, Path(folder))}
        costs |= {
            f"{name} of {number(given.keys)} keys": row for name, row in compared(given.keys, Path(folder)).items()
        }
    rows = {name: row._asdict() for name, row in costs.items()}
    print(table(rows), end="")
    if given.write:
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
        write_tables(ROOT / "docs" / "verification.md", {"costs": table(rows)})


if __name__ == "__main__":
    main()
