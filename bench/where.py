"""Where brainctl's time goes: python -m bench.where [--seconds 2].

The processor's by the part of the program (bench/sampled.py), and that of a write by its stages (/metrics).
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Mapping
from os import kill
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.document import number
from bench.measure import loading, measure
from bench.workloads import CORE, KUBERNETES, MIXED, Workload, fill
from tests.peers.servers import Brainctl

SHARED = (
    "put 256 B, 100 clients",
    "get serializable, 100 clients",
    "list 10 000 x 512 B, 4 clients",
    "events to 100 watchers, 10 writers",
    KUBERNETES,
)
STAGED = ("put 256 B, 1 client", "put 256 B, 100 clients", "put 256 B, 1000 clients")
LEAST = 0.02
"""Parts with a smaller share in all workloads are put together."""
REST = "all others"
GROUP = "writes to a group"


class Sampled(Brainctl):
    """A server that says at its end where its processor time went."""

    @property
    def output(self) -> Path:
        """The samples."""
        return self.directory / "samples.json"

    def argv(self) -> list[str]:
        """See `Server`."""
        return [sys.executable, "-m", "bench.sampled", str(self.output), *super().argv()[3:]]


def named(name: str) -> Workload:
    """A workload of the table."""
    return next(workload for workload in CORE + MIXED if workload.name == name)


def shares(directory: Path, seconds: float) -> dict[str, dict[str, float]]:
    """By workload, how much of the samples each part of the program has."""
    found = {}
    for index, name in enumerate(SHARED):
        workload = named(name)
        with Sampled(directory / str(index)) as server:
            measure(server, fill(workload.keys, 512 if "512" in name else 256), 0)
            with loading(server, [f"-seconds={seconds}", *workload.arguments()]) as load:
                assert load is not None
                kill(server.pid, signal.SIGUSR1)
                load.sample()
                load.end()
        samples = json.loads(server.output.read_text())
        found[name] = {part: count / sum(samples.values()) for part, count in samples.items()}
    return found


def stages(directory: Path, seconds: float) -> dict[str, dict[str, float]]:
    """By workload, microseconds of a group commit in each stage, and the writes of a group."""
    found = {}
    with Brainctl(directory / "stages") as server:
        for name in STAGED:
            before = _stage_sums(server)
            measure(server, named(name), seconds)
            found[name] = _per_write(before, _stage_sums(server))
    return found


def _stage_sums(server: Brainctl) -> dict[str, float]:
    with urlopen(f"http://{server.endpoint}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    wanted = ("brainctl_write_stage_seconds_sum", "brainctl_write_stage_seconds_count", "brainctl_groups_total")
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(wanted))
    return {name: float(value) for name, value in pairs}


def _per_write(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    spent = {name: value - before.get(name, 0) for name, value in after.items()}
    figures = {}
    for name, seconds in spent.items():
        if "_sum" in name:
            count = spent[name.replace("_sum", "_count")]
            figures[name.split('"')[1]] = seconds / count * 1e6
            figures[GROUP] = count / spent["brainctl_groups_total"]
    return figures


def shares_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Parts by workload, the largest first."""
    parts = {part for row in found.values() for part in row}
    big = [part for part in parts if max(row.get(part, 0) for row in found.values()) >= LEAST]
    big.sort(key=lambda part: -sum(row.get(part, 0) for row in found.values()))
    lines = [f"| part | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    lines += [f"| {part} | {' | '.join(_percent(row.get(part, 0)) for row in found.values())} |" for part in big]
    rest = (1 - sum(row.get(part, 0) for part in big) for row in found.values())
    return "\n".join([*lines, f"| {REST} | {' | '.join(map(_percent, rest))} |"]) + "\n"


def stages_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Stages by workload."""
    lines = [f"| stage, us | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    names = sorted(next(iter(found.values())), key=GROUP.__eq__)  # as on the way of a write; the group last
    lines += [f"| {name} | {' | '.join(number(row[name]) for row in found.values())} |" for name in names]
    return "\n".join(lines) + "\n"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else ""


def where(seconds: float) -> dict[str, Any]:
    """Both, as they are written."""
    with tempfile.TemporaryDirectory() as name:
        return {"shares": shares(Path(name), seconds), "stages": stages(Path(name), seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.where", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    found = where(parser.parse_args().seconds)
    print(shares_table(found["shares"]))
    print(stages_table(found["stages"]))


if __name__ == "__main__":
    main()
