"""Fixtures of the command line's tests."""

import os

import pytest

from tests.cli.running import Runner


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run a command line here: run("get", "k"); no variable of the machine configures it."""
    for name in list(os.environ):
        if name.startswith(("BRAINCTL_", "ETCDCTL_", "ETCD_")):
            monkeypatch.delenv(name)
    return Runner(capsysbinary, monkeypatch)
