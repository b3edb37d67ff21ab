"""Markers say what a test needs of the machine: they follow from what it uses, and none is missing."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import peers
from tests.peers import MARKERS, require

ROOT = Path(__file__).resolve().parent.parent


def collected(file: str, expression: str) -> set[str]:
    """Return the tests of a file that -m selects."""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", expression, file]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False)
    return {line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line}


def test_a_fixture_and_a_call_give_their_marker() -> None:
    assert collected("tests/test_peers.py", "tikv") == {"test_the_tikv_cluster_names_its_store"}
    assert collected("tests/test_peers.py", "etcd") >= {"test_a_real_etcd_takes_a_write_and_stops"}
    assert "test_a_build_is_named_by_its_sources" in collected("tests/test_peers.py", "not etcd and not tikv")


def test_a_parameter_gives_its_marker() -> None:
    found = collected("tests/contract/test_compaction.py", "not etcd and not tikv")
    assert {re.sub(r".*\[(.*)\]", r"\1", name) for name in found} == {"memory", "local", "served"}
    found = collected("tests/clients/test_clients.py", "java and not etcd")
    assert found == {"test_client_finds_what_it_expects[Brainctl-java]", "test_client_finds_it_over_tls_too[java]"}


def test_what_needs_root_says_so() -> None:
    assert collected("tests/e2e/test_serve_failures.py", "root") >= {"test_a_read_only_directory_is_refused"}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for condition in re.findall(r"skipif\((.*geteuid[^)]*\).*)", path.read_text()):
            assert "needs root" in condition, path


def test_every_peer_has_a_registered_marker() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    registered = {line.partition(":")[0] for line in options["markers"]}
    assert set(MARKERS.values()) <= registered
    used = re.findall(r'require\("([\w-]+)"\)', "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py")))
    assert set(used) <= MARKERS.keys()
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert [name for name in registered if f"`{name}`" not in page] == []


def test_control_a_peer_without_its_marker_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "running", frozenset({"etcd"}))
    with pytest.raises(pytest.fail.Exception, match="without the marker 'go'"):
        require("go-client")
