"""How brainctl and etcd behave on the same failing disk, as a table: python -m tests.faults.power.beside --runs 5."""

import argparse
import json
import subprocess
import sys
from typing import Any

from tests.faults.power import kernel
from tests.faults.power.errors import FAULTS, Outcome
from tests.peers import ROOT
from tests.peers.servers import clean_environment

PAGE = ROOT / "docs" / "internals" / "faults.md"
MARKS = ("<!-- beside: begin -->", "<!-- beside: end -->")


def run(server: str, fault: str, *, seed: int) -> Outcome:
    """One run; the disk fails after a number of puts that depends on the seed."""
    argv = [sys.executable, "-m", "tests.faults.power.errors", server, fault, "--seed", str(seed)]
    ran = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, env=clean_environment(), check=False)
    assert ran.returncode == 0, ran.stderr
    return Outcome(**json.loads(ran.stdout))


def row(server: str, fault: str, runs: int) -> str:
    """A line of the table."""
    outcomes = [run(server, fault, seed=seed) for seed in range(runs)]
    stopped = [outcome.stopped for outcome in outcomes if outcome.stopped is not None]
    codes = sorted({str(outcome.code) for outcome in outcomes if outcome.code is not None})
    cells = [
        FAULTS[fault],
        server,
        f"{len(stopped)} of {runs}" + (f", code {', '.join(codes)}" if codes else ""),
        f"{max(stopped):.2f} s" if stopped else "",
        "" if fault == "full" else str(sum(outcome.late for outcome in outcomes)),
        f"{sum(len(outcome.missing) for outcome in outcomes)} of {sum(o.acknowledged for o in outcomes)}",
        f"{sum(outcome.restarted for outcome in outcomes)} of {runs}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(runs: int) -> str:
    """The whole table, in Markdown."""
    heads = ["fault", "server", "process ended", "at the latest after", "puts sent later and acknowledged"]
    heads += ["acknowledged and missing", "restarted"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for fault in FAULTS:
        lines += [row(server, fault, runs) for server in ("brainctl", "etcd")]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="put the table into the page of the documentation")
    arguments: Any = parser.parse_args()
    if reason := kernel.missing():
        sys.stderr.write(f"not run: {reason}\n")
        return 3
    found = table(arguments.runs)
    sys.stdout.write(found + "\n")
    if arguments.write:
        begin, end = MARKS
        text = PAGE.read_text()
        head, tail = text.split(begin)[0], text.split(end)[1]
        PAGE.write_text(f"{head}{begin}\n{found}\n{end}{tail}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
