"""Explore power cuts: python -m tests.faults.power --points 3000."""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.faults.power import explorer, kernel


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=3000)
    parser.add_argument("--points-per-run", type=int, default=300)
    parser.add_argument("--requests", type=int, default=explorer.REQUESTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--early", action="store_true", help="acknowledge before anything is written: a control")
    arguments: Any = parser.parse_args()
    if reason := kernel.missing():
        print(f"not run: {reason}")
        return 3
    kernel.own_mounts()
    done, bad = 0, 0
    for seed in range(arguments.seed, arguments.seed + -(-arguments.points // arguments.points_per_run)):
        began = time.monotonic()
        count = min(arguments.points_per_run, arguments.points - done)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            kernel.mount("images", name, "tmpfs", "size=1g")
            directory = Path(name)
            recording = explorer.record(directory, seed=seed, requests=arguments.requests, early=arguments.early)
            recorded = time.monotonic()
            wrong = explorer.explore(recording, count, seed, directory)
            kernel.unmount(name, lazily=True)
        done, bad = done + count, bad + len(wrong)
        writes = [event for event in recording.events if isinstance(event, explorer.Written)]
        flushes = sum(event is None for event in recording.events)
        print(
            f"seed {seed}: {len(recording.model.marks) - 1} requests, {len(writes)} writes, {flushes} flushes, "
            f"recorded in {recorded - began:.1f} s; {count} points in {time.monotonic() - recorded:.1f} s, "
            f"{len(wrong)} wrong",
            *wrong[:10],
            sep="\n  ",
            flush=True,
        )
    print(f"{done} points, {bad} wrong")
    return int(bad > 0)


sys.exit(main())
