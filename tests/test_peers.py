"""The peers are built, start, answer and stop."""

import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.peers import require
from tests.peers.build import _key, main
from tests.peers.ports import BLOCK, Ports
from tests.peers.process import Child, ChildFailed
from tests.peers.servers import Etcd, Playground, etcdctl


def test_a_real_etcd_takes_a_write_and_stops(new_etcd: Callable[..., Etcd]) -> None:
    server = new_etcd()
    assert etcdctl(server.endpoint, "put", "k", "v").stdout == "OK\n"
    assert etcdctl(server.endpoint, "get", "k").stdout == "k\nv\n"
    assert server.stop() in {0, -15}
    assert etcdctl(server.endpoint, "--command-timeout", "1s", "get", "k").returncode == 1


def test_the_tikv_cluster_names_its_store(tikv: Playground) -> None:
    assert tikv.url("p") == f"tikv://127.0.0.1:{tikv.port}/p"


def test_a_missing_peer_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRAINCTL_PEERS", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    (tmp_path / "etcd.missing").write_text("there is no go")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="there is no go"):
        require("etcd")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="there is no go"):
        require("etcd")


def test_a_build_is_named_by_its_sources(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main")
    before = _key(tmp_path)
    (tmp_path / "notes.md").write_text("not compiled")
    assert _key(tmp_path) == before
    (tmp_path / "main.go").write_text("package main // changed")
    assert _key(tmp_path) != before


def test_a_peer_that_cannot_be_built_leaves_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRAINCTL_PEERS", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")
    assert main(["h2spec"]) == 1
    assert "there is no go" in (tmp_path / "h2spec.missing").read_text()


def test_a_child_that_ends_early_is_reported(tmp_path: Path) -> None:
    child = Child([sys.executable, "-c", "print('no such flag'); raise SystemExit(3)"], tmp_path / "log")
    with pytest.raises(ChildFailed, match="no such flag"):
        child.wait_until(lambda: False)


def test_no_port_is_taken_twice() -> None:
    with closing(Ports()) as one, closing(Ports()) as other:
        taken = [ports.take(1) for _ in range(BLOCK + 1) for ports in (one, other)]
        assert len(set(taken)) == len(taken)


def test_a_port_on_which_somebody_listens_is_left_out() -> None:
    with closing(Ports()) as ports, socket.socket() as other:
        other.bind(("127.0.0.1", ports.take(1) + 2))
        first = ports.take(3)
        assert other.getsockname()[1] not in range(first, first + 3)
