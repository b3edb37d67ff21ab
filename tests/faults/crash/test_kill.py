"""kill -9 at random moments under load, over and over on the same store: what was acknowledged is there, whole."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Timer

import pytest

from brainctl.engine.engine import Engine
from tests.faults.crash.load import OPTIONS, advance
from tests.unit.engine.model import Model

pytestmark = pytest.mark.crash
CYCLES = 50
Starter = subprocess.Popen[bytes]


@pytest.fixture
def starter() -> Iterator[Starter]:
    command = [sys.executable, "-m", "tests.faults.crash.load"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def run_until_killed(starter: Starter, directory: Path, seconds: float, mode: bytes = b"late") -> int:
    """Start the load, kill it a while after its first acknowledgement; the last revision that it acknowledged."""
    assert starter.stdin is not None
    assert starter.stdout is not None
    starter.stdin.write(b"%b %b\n" % (bytes(directory), mode))
    starter.stdin.flush()
    pid = int(starter.stdout.readline().split()[1])
    acknowledged = 0
    killer = Timer(seconds, os.kill, (pid, signal.SIGKILL))
    for line in starter.stdout:
        if line == b"gone\n":
            break
        if not acknowledged:
            killer.start()
        if line.endswith(b"\n"):
            acknowledged = int(line)
    killer.join()
    return acknowledged


@pytest.mark.parametrize("seed", range(4))
def test_nothing_acknowledged_is_lost(tmp_path: Path, starter: Starter, seed: int):
    rng = Random(seed)
    last, model = 1, Model()
    for _ in range(CYCLES):
        acknowledged = run_until_killed(starter, tmp_path, rng.uniform(0.0, 0.08))
        assert acknowledged > last, "the load has written nothing, so the test shows nothing"
        engine = Engine.open(tmp_path, options=OPTIONS)
        last = engine.view.revision
        assert last >= acknowledged
        advance(model, last)
        model.compacted = engine.view.compacted
        model.check(engine, [rng.randint(engine.view.compacted, last)])
        engine.close()


def test_acknowledging_before_the_write_is_caught(tmp_path: Path, starter: Starter):
    rng = Random(0)
    lost = 0
    for _ in range(40):
        acknowledged = run_until_killed(starter, tmp_path, rng.uniform(0.0, 0.02), b"early")
        engine = Engine.open(tmp_path, options=OPTIONS)
        lost += engine.view.revision < acknowledged
        engine.close()
        if lost:
            return
    raise AssertionError("forty kills lost nothing")
