"""Contexts on the command line: what is typed wins, and a bad file is in nobody's way who does not need it."""

from pathlib import Path

import pytest

from tests.cli.running import Runner
from tests.peers.ports import free_port
from tests.peers.servers import Etcd


@pytest.fixture
def file(run: Runner, tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    run.environment.setenv("BRAINCTL_CONFIG", str(path))
    return path


def test_a_typed_context_wins_over_the_variables(run: Runner, file: Path, etcd: Etcd) -> None:
    file.write_text(f'[contexts.lab]\nendpoints = ["{etcd.endpoint}"]\n')
    run.environment.setenv("ETCDCTL_ENDPOINTS", f"127.0.0.1:{free_port()}")
    run.environment.setenv("ETCDCTL_USER", "nobody:knows")
    assert run("put", "context", "1").code == 2
    assert run("--context", "lab", "put", "context", "2").out == "OK\n"
    assert run("get", "context", "--context=lab", "--print-value-only").out == "2\n"


@pytest.mark.parametrize("content", ["[contexts", 'current-context = "none"'])
def test_a_bad_file_is_in_the_way_only_of_what_needs_it(run: Runner, file: Path, etcd: Etcd, content: str) -> None:
    file.write_text(content)
    needed = run("get", "k")
    assert (needed.code, needed.out, needed.err.count("\n")) == (3, "", 1)
    assert str(file) in needed.err
    for argv in (["--help"], ["get", "--help"], ["version"], ["options"], ["completion", "bash"]):
        assert run(*argv)[::2] == (0, ""), argv
    assert "there is no store in" in run("store", "check", str(file.parent / "none")).err
    done = run("--endpoints", etcd.endpoint, "put", "bad-file", "1")
    assert (done.code, done.out) == (0, "OK\n")
    assert done.err.startswith("warning: going on without the context: ")
    run.environment.setenv("ETCDCTL_ENDPOINTS", etcd.endpoint)
    statuses = run("endpoint", "health")
    assert (statuses.code, statuses.err.count("warning")) == (0, 1)
    assert run("--context", "lab", "get", "k").code == 3
