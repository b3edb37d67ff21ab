"""brainctl trace put: of a server, of a directory, and of a server that tells nothing."""

import json
from pathlib import Path

import pytest

from brainctl.commands.trace.lines import WIDTH, lines
from tests.conftest import NewBrainctl
from tests.peers.servers import Brainctl, Etcd, brainctl
from tests.unit.server.test_tls import Authority

STAGES = ["outside", "receive", "batch", "queue", "wake", "write", "sync", "apply", "reply"]


def test_a_server_tells_every_stage(brainctl_server: Brainctl) -> None:
    done = brainctl("trace", "put", "traced", "1", "--endpoints", brainctl_server.endpoint, "-w", "json")
    traced = json.loads(done.stdout)
    assert list(traced["stages"]) == STAGES
    assert sum(traced["stages"].values()) == pytest.approx(traced["round_trip"], abs=1)
    assert min(traced["stages"].values()) >= 0
    assert traced["writes"] == 1
    assert brainctl("get", "traced", "--endpoints", brainctl_server.endpoint).stdout == "traced\n1\n"


def test_a_bar_for_each(brainctl_server: Brainctl) -> None:
    done = brainctl("trace", "put", "traced", "1", "--endpoints", brainctl_server.endpoint)
    first, *rest = done.stdout.splitlines()
    assert first.startswith("revision ")
    assert first.endswith(" in a group commit of 1")
    assert [line.split()[0] for line in rest] == STAGES
    assert "█" * WIDTH in done.stdout


def test_a_directory(new_brainctl: NewBrainctl) -> None:
    server = new_brainctl()
    server.stop()
    store = f"file://{server.directory / 'data'}"
    traced = json.loads(brainctl("trace", "put", "k", "v", "--store", store, "-w", "json").stdout)
    assert list(traced["stages"]) == STAGES


def test_a_directory_that_is_served(new_brainctl: NewBrainctl) -> None:
    server = new_brainctl()
    store = f"file://{server.directory / 'data'}"
    assert json.loads(brainctl("trace", "put", "k", "v", "--store", store, "-w", "json").stdout)["writes"] == 1


def test_a_server_with_tls(tmp_path: Path, new_brainctl: NewBrainctl) -> None:
    authority = Authority(tmp_path, "authority")
    cert, key = authority.issue("server")
    client = authority.issue("client")
    flags = ("--cert-file", str(cert), "--key-file", str(key), "--trusted-ca-file", str(authority.file))
    server = new_brainctl(*flags, "--client-cert-auth")
    files = ("--cacert", str(authority.file), "--cert", str(client[0]), "--key", str(client[1]))
    done = brainctl("trace", "put", "k", "v", "--endpoints", f"localhost:{server.port}", *files, "-w", "json")
    assert json.loads(done.stdout)["writes"] == 1, done.stderr


def test_a_server_that_tells_nothing(etcd: Etcd) -> None:
    done = brainctl("trace", "put", "traced", "1", "--endpoints", etcd.endpoint)
    assert done.returncode == 0
    assert done.stdout.startswith("revision ")
    assert len(done.stdout.splitlines()) == 1
    assert "does not tell where the time went" in done.stderr


def test_what_is_wrong(tmp_path: Path) -> None:
    assert brainctl("trace", "put", "k").returncode == 128
    assert brainctl("trace", "put", "k", "v", "--store", f"file://{tmp_path}").returncode != 0


def test_bars_are_parts_of_the_longest() -> None:
    about = dict.fromkeys("abcd", "x")
    found = lines({"a": 100.0, "b": 50.0, "c": 0.0, "d": 100 / WIDTH / 2}, about)
    assert [line.count("█") for line in found] == [WIDTH, WIDTH // 2, 0, 0]
    assert "▌" in found[3]
    assert len(lines({"a": 0.0}, about)) == 1
