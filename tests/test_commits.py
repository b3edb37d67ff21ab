"""What `make check` and the hook of pre-commit say about the subjects of commits."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "check_commits.py"


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("engine: refuse a segment that is another's", ""),
        ("tikv, node: pass what a server needs", ""),
        ("cli: bring the flags of `get` in order", ""),
        ("bench: embed the plot", ""),
        ("tests and docs: alias e2e", ""),
        ("Add a thing", "not `area: imperative summary`"),
        ("engine: Refuse a segment", "not `area: imperative summary`"),
        ("engine: refuse a segment.", "not `area: imperative summary`"),
        ("engine: " + "refuse a segment " * 4, "characters"),
        ("engine: refuse a segment; write another", "semicolon"),
        ("engine: refuses a segment", "imperative"),
        ("engine: refused a segment", "imperative"),
        ("engine: refusing a segment", "imperative"),
    ],
)
def test_a_subject(subject: str, said: str, tmp_path: Path) -> None:
    assert said in (found := runpy.run_path(str(SCRIPT))["wrong"](subject))
    assert bool(found) == bool(said)
    (tmp_path / "message").write_text(f"{subject}\n\nThe reason; with a semicolon.\n")
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path / "message")], capture_output=True, check=False)
    assert done.returncode == bool(said)
