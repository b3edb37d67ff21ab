"""The real programs that the tests run against: where they are, and what happens when one is missing.

`make peers` (tests/peers/build.py) puts them into the directory named by BRAINCTL_PEERS, by default
~/.cache/brainctl/peers. A program that is not there is looked for on PATH, so that Debian's etcd serves too.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

MARKERS = {
    "etcd": "etcd",
    "etcdctl": "etcd",
    "etcdutl": "etcd",
    "tikv-playground": "tikv",
    "go-client": "go",
    "etcd-suite": "go",
    "etcd-load": "go",
    "porcupine-check": "go",
    "node": "node",
    "node-client": "node",
    "java": "java",
    "java-client": "java",
    "rust-suite": "rust",
    "python-etcd3": "python",
    "python-aetcd": "python",
    "h2spec": "h2spec",
}
"""The marker of each peer."""
running: frozenset[str] | None = None
"""The markers of the test that runs now, None outside of tests."""
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def directory() -> Path:
    """Where built peers are kept."""
    return Path(os.environ.get("BRAINCTL_PEERS") or Path.home() / ".cache" / "brainctl" / "peers")


def find(name: str) -> Path | None:
    """The peer's program, or None."""
    built = directory() / name
    if built.exists():
        return built
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


def require(name: str) -> Path:
    """The peer's program; without it the test is skipped, or fails where CI=true. A test without its marker fails."""
    if running is not None and MARKERS.get(name, name) not in running:
        pytest.fail(f"a test without the marker {MARKERS.get(name, name)!r} uses {name}: see tests/support/needs.py")
    program = find(name)
    if program is None:
        missing(f"peer {name!r} is not installed: run `make peers`{_reason(name)}")
    return program


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a peer; with CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _reason(name: str) -> str:
    """Why the last `make peers` could not install it, if it said so."""
    note = directory() / f"{name}.missing"
    return f" ({note.read_text().strip()})" if note.exists() else ""
