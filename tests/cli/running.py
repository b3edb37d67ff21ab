"""Command lines in the process of the test, which costs a tenth of what a process of their own does."""

from typing import NamedTuple

import pytest

from brainctl.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Runner:
    """Runs command lines, in the environment of the test."""

    def __init__(self, capture: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self.environment = monkeypatch

    def __call__(self, *argv: str, program: str = "brainctl") -> Ran:
        self._capture.readouterr()
        code = main.run(argv, program)
        out, err = self._capture.readouterr()
        return Ran(code, out.decode(errors="surrogateescape"), err.decode(errors="surrogateescape"))
