"""One `get` of the command line as a whole process, brainctl's beside etcdctl's: python -m bench.coldstart [ROUNDS]."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.peers import require
from tests.peers.servers import Brainctl, brainctl, brainctl_argv, clean_environment

ROUNDS = 15


def cold_start(server: Brainctl, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Each in turn; milliseconds of the wall clock, and of the processor. The key is put first."""
    assert brainctl("--endpoints", server.endpoint, "put", "cold", "start").returncode == 0
    commands = {"etcd": [str(require("etcdctl"))], "brainctl": brainctl_argv()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, argv in commands.items():
            taken[name].append(_run([*argv, "--endpoints", server.endpoint, "get", "cold"]))
    return {
        name: {
            "wall_ms": median(wall for wall, _ in runs),
            "least_wall_ms": min(wall for wall, _ in runs),
            "cpu_ms": median(cpu for _, cpu in runs),
            "rounds": len(runs),
        }
        for name, runs in taken.items()
    }


def _run(argv: list[str]) -> tuple[float, float]:
    begun = perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=clean_environment()) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    assert (process.returncode, output) == (0, b"cold\nstart\n"), output
    return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as name, Brainctl(Path(name)) as server:
        print(json.dumps(cold_start(server, rounds), indent=1))


if __name__ == "__main__":
    main()
