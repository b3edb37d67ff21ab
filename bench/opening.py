"""Opening a large store: brainctl's engine, `brainctl serve` to its first answer, and etcd to its first answer.

    python -m bench.opening [--keys 1000000 10000000] [--rounds 5] [--seconds 3] [--directory DIR] [--write]

The stores are filled with keys of 13 bytes and values of --size bytes; etcd's only up to a million keys, since it takes
them one by one. Before each round 50 clients put new keys for --seconds, and the server is stopped (SIGTERM) or killed
(SIGKILL) in the middle of it. Then each opening is timed twice: with no page of the store's files in memory (cold) and
once more (warm). The machine's programs stay in memory. Prints tables of medians; --write puts them into
docs/internals/opening.md, the figures into bench/opening.json, and a plot into docs/plots/opening.svg.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from bench.document import number, write_tables
from bench.firstanswer import environment, first_answer, forget
from bench.measure import loading
from brainctl.engine.engine import Engine
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import put_version
from brainctl.output import plot
from tests.peers import require
from tests.peers.servers import Brainctl, Etcd, Server

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "opening.json"
DOCUMENT = ROOT / "docs" / "internals" / "opening.md"
PLOT = ROOT / "docs" / "plots" / "opening.svg"
ETCD_KEYS = 1_000_000
FIRST_KEY = b"fill/00000000"
STATES = ("stopped", "killed")
PARTS = ("python -c pass", "imports", "engine", "the rest")
Rows = dict[str, list[float]]
"""Milliseconds by what was measured, a value for each round."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.opening", description=__doc__)
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load before each round")
    parser.add_argument("--size", type=int, default=128, help="bytes of a value")
    parser.add_argument("--directory", type=Path, default=ROOT, help="where the stores are made, and removed")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        print(json.dumps(open_engine(options.open)))
        return
    figures = json.loads(RESULTS.read_text()) if options.write and RESULTS.exists() else {}
    for keys in options.keys:
        figures[str(keys)] = measure(keys, options)
    text = table(figures)
    print(text)
    if options.write:
        RESULTS.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
        write_tables(DOCUMENT, {"opening": text, "parts": parts_table(figures)})
        draw(figures)


def measure(keys: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Fill the stores and open them in rounds; medians, and the largest as `... max`."""
    rows: Rows = {}
    with tempfile.TemporaryDirectory(dir=options.directory, prefix=".opening-") as name:
        servers: list[Server] = [Brainctl(Path(name, "brainctl"))]
        fill(servers[0].directory / "data", keys, options.size)
        if keys <= ETCD_KEYS:
            servers.append(fill_etcd(Path(name, "etcd"), keys, options.size))
        for at in range(options.rounds):
            for state in STATES:
                for server in servers:
                    load(server, options.seconds, kill=state == "killed")
                    for what, taken in open_all(server):
                        rows.setdefault(f"{server.name}, {state}, {what}", []).append(taken)
                        print(f"{at + 1}/{options.rounds} {keys} {server.name}, {state}, {what}: {taken:.1f}",
                              file=sys.stderr)  # fmt: skip
            for what, taken in start():
                rows.setdefault(what, []).append(taken)
    return {what: {"median": median(taken), "least": min(taken), "most": max(taken)} for what, taken in rows.items()}


# -- the stores ---------------------------------------------------------------------------------------------------


def fill(directory: Path, keys: int, size: int) -> None:
    """Make a store of new keys, as a server does it: with its index, a piece at a time."""
    rng = Random(1)
    values = [rng.randbytes(size) for _ in range(100)]
    engine = Engine.open(directory)
    for first in range(0, keys, 1000):
        commit = Commit(engine.view.revision)
        for at in range(first, min(first + 1000, keys)):
            commit.revision += 1
            commit.changes.append(put_version(b"fill/%08d" % at, values[at % 100], 0, commit.revision, 0, None))
        commit.before = [None] * len(commit.changes)
        prepared = engine.encode(commit)
        engine.write(prepared)
        engine.publish(commit, prepared)
        if engine.background.index_due:
            while engine.background.index_step(1 << 20):
                pass
    while engine.background.index_step(1 << 20, everything=True):
        pass
    engine.close()


def fill_etcd(directory: Path, keys: int, size: int) -> Etcd:
    """The same through etcd's API."""
    server = Etcd(directory, "--quota-backend-bytes", str(8 << 30), fsync=True)
    with server, loading(server, ["-op=fill", "-clients=100", f"-keys={keys}", f"-size={size}"]):
        pass
    return server


def load(server: Server, seconds: float, *, kill: bool) -> None:
    """Have 50 clients put keys; end the server in the middle of it."""
    command = [str(require("etcd-load")), f"-endpoint={server.endpoint}", "-op=put", "-clients=50", "-size=256"]
    pipe = subprocess.PIPE
    with server, subprocess.Popen([*command, f"-seconds={seconds + 60}"], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        if kill:
            server.kill()
        else:
            server.stop()
        process.kill()


# -- opening ------------------------------------------------------------------------------------------------------


def open_all(server: Server) -> Iterator[tuple[str, float]]:
    """What was opened, and how long that took in milliseconds."""
    for pages in ("cold", "warm"):
        if server.name == "brainctl":
            if pages == "cold":
                forget(server.directory)
            command = [sys.executable, "-m", "bench.opening", "--open", str(server.directory / "data")]
            done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment())
            for what, taken in json.loads(done.stdout).items():
                yield f"{what}, {pages}", taken
        if pages == "cold":
            forget(server.directory)
        wall, cpu = first_answer(server, FIRST_KEY)
        yield f"first answer, {pages}", wall * 1e3
        yield f"first answer, CPU, {pages}", cpu * 1e3


def open_engine(directory: Path) -> dict[str, float]:
    """Open a store here and now."""
    wall, cpu = time.perf_counter(), time.process_time()
    engine = Engine.open(directory)
    opened, used = time.perf_counter(), time.process_time()
    found = engine.view.get(FIRST_KEY)
    looked_up = time.perf_counter()
    assert found is not None
    engine.close()
    figures = {"engine": opened - wall, "engine, CPU": used - cpu, "first get": looked_up - opened}
    return {what: taken * 1e3 for what, taken in figures.items()}


def start() -> Iterator[tuple[str, float]]:
    """What of the first answer is not the store: the interpreter, and what it imports; without collecting garbage, as
    in `brainctl`, and without taking the interpreter apart at the end, which a server has not come to.
    """
    modules = ("cli.main", "commands.serve.command", "server.app", "node.local.backend")
    serve = f"import uvloop, {', '.join(f'brainctl.{module}' for module in modules)}; "
    for what, imports in (("python -c pass", ""), ("imports", serve)):
        program = f"import gc, os; gc.disable(); {imports}os._exit(0)"
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment())
        yield what, (time.perf_counter() - begun) * 1e3


# -- what is shown ------------------------------------------------------------------------------------------------


def table(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """Milliseconds: the median, and the least."""
    lines = [
        "| keys | ended by | pages | engine | its CPU | serve | its CPU | etcd | its CPU | serve / etcd |",
        "|---:|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for keys, rows in figures.items():
        for state in STATES:
            for pages in ("warm", "cold"):
                cells = [
                    rows.get(f"{name}, {state}, {what}{part}, {pages}")
                    for name, what in (("brainctl", "engine"), ("brainctl", "first answer"), ("etcd", "first answer"))
                    for part in ("", ", CPU")
                ]
                ours, etcd = cells[2], cells[4]
                ratio = number(ours["median"] / etcd["median"]) if ours and etcd else ""
                shown = " | ".join(map(_cell, cells))
                lines.append(f"| {int(keys):,} | {_ENDED[state]} | {pages} | {shown} | {ratio} |".replace(",", " "))
    return "\n".join(lines) + "\n"


_ENDED = {"stopped": "SIGTERM", "killed": "SIGKILL"}


def _cell(row: dict[str, float] | None) -> str:
    return f"{number(row['median'])} ({number(row['least'])})" if row else ""


def parts_table(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """What the first answer is made of, after SIGKILL, warm."""
    lines = ["| keys | " + " | ".join(PARTS) + " | first answer |", "|---:|" + "---:|" * (len(PARTS) + 1)]
    for keys, rows in figures.items():
        interpreter, imports = rows["python -c pass"]["median"], rows["imports"]["median"]
        engine = rows["brainctl, killed, engine, warm"]["median"]
        whole = rows["brainctl, killed, first answer, warm"]["median"]
        parts = (interpreter, imports - interpreter, engine, whole - imports - engine, whole)
        lines.append(f"| {int(keys):,} | ".replace(",", " ") + " | ".join(map(number, parts)) + " |")
    return "\n".join(lines) + "\n"


def draw(figures: dict[str, Any]) -> None:
    """The first answers and the engine, as bars."""
    groups: list[str] = []
    series: dict[str, list[float]] = {"brainctl: engine": [], "brainctl: first answer": [], "etcd: first answer": []}
    names = ("brainctl, {}, engine, {}", "brainctl, {}, first answer, {}", "etcd, {}, first answer, {}")
    for keys, rows in figures.items():
        for state in STATES:
            for pages in ("warm", "cold"):
                groups.append(f"{int(keys) // 1_000_000} M, {_ENDED[state]}, {pages}")
                for values, name in zip(series.values(), names, strict=True):
                    values.append(rows.get(name.format(state, pages), {"median": 0})["median"])
    PLOT.parent.mkdir(exist_ok=True)
    plot.bars(PLOT, "Opening a store", "milliseconds", groups, series, log=True)


if __name__ == "__main__":
    main()
