"""Run the simulation over a range of seeds, or replay one: python -m tests.faults.simulation --seed 1 --seeds 100.

With --turns the named places have their turns, so often each: python -m tests.faults.simulation --seed 1 --turns 20.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from typing import Any

from tests.faults.simulation import failpoints
from tests.faults.simulation.failpoints import ACTIONS, POINTS
from tests.faults.simulation.world import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=0)
    arguments: Any = parser.parse_args()
    logging.disable(logging.CRITICAL)  # of failures that are planned
    if arguments.turns:
        return try_places(arguments.seed, arguments.turns)
    began, done, bad, requests = time.monotonic(), Counter[str](), 0, 0
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        try:
            world = run(seed, arguments.steps)
        except AssertionError as error:
            bad += 1
            print(error, flush=True)
        else:
            done += world.done
            requests += len(world.journal.requests)
    print(f"{arguments.seeds} seeds of {arguments.steps} steps in {time.monotonic() - began:.0f} s: {bad} wrong")
    print(f"{requests} writes;", ", ".join(f"{count} {name}" for name, count in done.most_common()))
    return int(bad > 0)


def try_places(seed: int, turns: int) -> int:
    """Say how often each thing happened at each point."""
    world = failpoints.run(seed, turns, 5000 * turns)
    for point in POINTS:
        print(f"{point:45}", "  ".join(f"{world.turns[point, action]:3} {action}" for action in ACTIONS))
    print(f"{len(POINTS)} points, {world.turns.total()} turns, {sum(world.done.values())} steps: nothing wrong")
    return int(failpoints.fewest(world.turns) < turns)


sys.exit(main())
