"""A device that fails under `brainctl serve`, with true kernel semantics: no false acknowledgement, nothing lost."""

import json
import subprocess
import sys

import pytest

from brainctl.errors import ExitCode
from tests.faults.power import beside, kernel
from tests.peers import ROOT
from tests.peers.servers import clean_environment

MISSING = kernel.missing()
pytestmark = [pytest.mark.crash, pytest.mark.root, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


def test_a_second_sync_after_a_failed_one_proves_nothing():
    """Why the first failure is final."""
    argv = [sys.executable, "-m", "tests.faults.power.errors", "kernel", "one write"]
    said = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, env=clean_environment(), check=True).stdout
    assert json.loads(said) == ["Input/output error", "OK", "BBBB", "AAAA"]


@pytest.mark.parametrize("fault", ["one write", "one flush", "full"])
def test_a_server_stops_and_has_told_no_lie(fault: str):
    outcome = beside.run("brainctl", fault, seed=1)
    assert outcome.acknowledged >= 1
    assert outcome.restarted
    assert outcome.missing == []
    if fault == "full":
        assert outcome.code == ExitCode.NO_SPACE
    else:
        assert outcome.code == ExitCode.IO
        assert outcome.late == 0
