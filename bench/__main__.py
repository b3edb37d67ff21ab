"""Compare etcd and brainctl: both run on this machine, each workload is given to one after the other, in rounds.

Prints a table of ratios; with --write it also goes into README.md, and all figures into bench/results.json.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.measure import Sample, measure
from bench.report import summary, table
from bench.workloads import WORKLOADS
from tests.peers.servers import Brainctl, Etcd, Server

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.json"
MARK, END = "<!-- bench -->\n", "<!-- /bench -->\n"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a measurement")
    parser.add_argument("--only", default="", help="only workloads whose name contains this")
    parser.add_argument("--write", action="store_true", help="write README.md and bench/results.json")
    options = parser.parse_args()
    samples: dict[str, dict[str, list[Sample]]] = {}
    for number in range(options.rounds):
        for workload, server, sample in one_round(number, options.seconds, options.only):
            samples.setdefault(workload, {}).setdefault(server, []).append(sample)
            print(f"{number + 1}/{options.rounds} {server:8} {workload:40} {sample.per_second:12,.0f}/s "
                  f"{sample.cpu_us:10.1f} us/op (load {sample.load_cpu_us:.1f})", file=sys.stderr)  # fmt: skip
    text = table(samples)
    print(text)
    if options.write:
        write(samples, text)


def one_round(number: int, seconds: float, only: str) -> Iterator[tuple[str, str, Sample]]:
    """Both servers on fresh directories; who goes first alternates."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name, ExitStack() as stack:
        servers: list[Server] = [Etcd(Path(name, "etcd"), fsync=True), Brainctl(Path(name, "brainctl"))]
        for server in servers:
            stack.enter_context(server)
        for workload in WORKLOADS:
            if workload.name and only not in workload.name:
                continue
            for server in servers if number % 2 == 0 else reversed(servers):
                sample = measure(server, workload, seconds)
                if sample:
                    yield workload.name, server.name, sample


def write(samples: dict[str, dict[str, list[Sample]]], text: str) -> None:
    """Put the figures where the documentation shows them."""
    machine = {"machine": platform.machine(), "system": platform.platform(), "python": platform.python_version()}
    RESULTS.write_text(json.dumps({**machine, "workloads": summary(samples)}, indent=1) + "\n")
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(MARK)
    readme.write_text(f"{before}{MARK}{text}{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
