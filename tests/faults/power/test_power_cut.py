"""Power cuts of ext4 on a recorded disk: nothing acknowledged is lost; and a store that acknowledges early is caught.

`make power-cut` runs as many points as one likes.
"""

import re
import subprocess
import sys

import pytest

from tests.faults.power import explorer, kernel
from tests.peers import ROOT
from tests.peers.servers import clean_environment

MISSING = kernel.missing()
pytestmark = [pytest.mark.crash, pytest.mark.root, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


def explore(*flags: str) -> tuple[int, int, str]:
    """How many points were tried, how many of them were wrong, and what was said."""
    argv = [sys.executable, "-m", "tests.faults.power", *flags]
    ran = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, env=clean_environment(), check=False)
    found = re.search(r"^(\d+) points, (\d+) wrong$", ran.stdout, re.MULTILINE)
    assert found, ran.stdout + ran.stderr
    return int(found[1]), int(found[2]), ran.stdout


def test_nothing_acknowledged_is_lost():
    points, wrong, said = explore("--points", "300", "--seed", "1")
    assert (points, wrong) == (300, 0), said
    run = re.search(r"(\d+) requests, (\d+) writes, (\d+) flushes", said)
    assert run
    assert int(run[1]) >= 2400
    assert min(int(run[2]), int(run[3])) > 400, "the load was too light to show anything"


def test_only_the_superblock_is_torn_from_the_rest_as_a_whole():
    block = bytes(range(256)) * 16
    whole = explorer.sectors(explorer.Written(0, block))
    assert [(one.offset, len(one.data)) for one in whole[:4]] == [(0, 512), (512, 512), (1024, 1024), (2048, 512)]
    assert b"".join(one.data for one in whole) == block
    assert {len(one.data) for one in explorer.sectors(explorer.Written(4096, block))} == {512}


def test_acknowledging_early_is_caught():
    points, wrong, said = explore("--points", "60", "--seed", "1", "--early")
    assert points == 60
    assert wrong >= 0.8 * points, said
