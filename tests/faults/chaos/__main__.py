"""Chaos for a long time: `python -m tests.faults.chaos [--minutes 60] [--seed 1] [--turns 0] [--keep DIR]`.

Each turn is a recording with faults of its own, all of them over one cluster and one store; its seed is printed, and
with `--seed N --turns 1` its faults come again in the same order. When the moments differ, what is found may differ.
Exit code 1 when a promise was broken: then the history is kept. BRAINCTL_TEST_PD names a cluster of one's own.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.faults.chaos.cluster import Cluster
from tests.faults.chaos.schedule import schedule
from tests.faults.chaos.turn import turn
from tests.support.tikv import cluster as tikv_cluster

STEPS = 6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first turn; each next one has the next number")
    parser.add_argument("--turns", type=int, default=0, help="end after so many turns; 0 for no limit")
    parser.add_argument("--keep", type=Path, default=Path("chaos-histories"), help="where to put what shows a fault")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tikv = stack.enter_context(tikv_cluster(directory / "tikv"))
        cluster = stack.enter_context(Cluster(tikv, directory, "chaos"))
        end, seed, bad = time.monotonic() + options.minutes * 60, options.seed, 0
        while time.monotonic() < end and (not options.turns or seed < options.seed + options.turns):
            bad += not run(cluster, seed, directory / "history.jsonl", options.keep)
            seed += 1
        print(f"{seed - options.seed} turns, {bad} with something wrong")
        sys.exit(1 if bad else 0)


def run(cluster: Cluster, seed: int, file: Path, keep: Path) -> bool:
    """Run one turn, and say what came of it; return whether all was well."""
    plan = schedule(seed, STEPS, linked=cluster.linked)
    began = time.monotonic()
    try:
        turned = turn(cluster, plan, f"chaos/{seed}/", seed, file)
        wrong = turned.wrong
        verdict = turned.finding.verdict
        counts = f"{verdict.operations} operations, {verdict.unknown} unknown, {verdict.events} events"
    except AssertionError as error:
        wrong, counts = str(error), "not finished"
    faults = ", ".join(f"{step.kind} {'leader' if step.leader else 'follower'}" for step in plan.steps)
    print(f"seed {seed}, {time.monotonic() - began:.0f} s, {plan.workload}, {counts}: {faults}", flush=True)
    if wrong:
        keep.mkdir(exist_ok=True)
        file.replace(keep / f"seed-{seed}.jsonl")
        for instance in cluster.instances:
            assert instance.child is not None
            (keep / f"seed-{seed}-{instance.title}.log").write_text(instance.child.output())
        print(f"  WRONG: {wrong}", flush=True)
    return not wrong


if __name__ == "__main__":
    main()
