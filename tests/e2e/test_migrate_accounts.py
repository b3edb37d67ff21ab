"""Users, roles and the switch of authentication go over with the data, and are compared."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import NewBrainctl, NewEtcd
from tests.peers.servers import Server, brainctl, etcdctl

ROOT = ("--user", "root:secret")


def accounts(server: Server, *, enabled: bool) -> None:
    """A user with a password and a role, one without a password, and root."""
    for command in (
        ("user", "add", "root:secret"),
        ("user", "grant-role", "root", "root"),
        ("role", "add", "reader"),
        ("role", "grant-permission", "reader", "read", "/k", "/l"),
        ("user", "add", "alice:wonderland"),
        ("user", "grant-role", "alice", "reader"),
        ("user", "add", "bob", "--no-password"),
        ("role", "add", "everything"),
        ("role", "grant-permission", "everything", "--prefix", "readwrite", ""),
        ("user", "add", "carol:glass"),
        ("user", "grant-role", "carol", "everything"),
        ("put", "/k/1", "v"),
        *((("auth", "enable"),) if enabled else ()),
    ):
        done = etcdctl(server.endpoint, *command)
        assert done.returncode == 0, (command, done.stderr)


@pytest.fixture
def start(new_etcd: NewEtcd, new_brainctl: NewBrainctl) -> Callable[[str], Server]:
    def started(kind: str) -> Server:
        server: Server = new_etcd() if kind == "etcd" else new_brainctl()
        return server

    return started


@pytest.mark.parametrize(("kind", "into"), [("etcd", "tikv"), ("brainctl", "file")])
def test_users_and_roles_go_over(
    start: Callable[[str], Server],
    kind: str,
    into: str,
    new_brainctl: NewBrainctl,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    source = start(kind)
    accounts(source, enabled=True)
    target: str = request.getfixturevalue("tikv_url") if into == "tikv" else f"file://{tmp_path / 'target'}"
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", target, *ROOT)
    done = brainctl("migrate", *arguments, "-w", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["authentication"], report["users"], report["roles"]) == ("on", 4, 2)
    assert brainctl("verify", *arguments).returncode == 0

    assert (
        etcdctl(source.endpoint, *ROOT, "user", "passwd", "alice", "--interactive=false", stdin="other").returncode == 0
    )
    assert etcdctl(source.endpoint, *ROOT, "user", "delete", "bob").returncode == 0
    different = brainctl("verify", *arguments)
    assert different.returncode == 7, different.stderr
    assert different.stdout.splitlines()[:2] == ["different user alice: password", "extra user    bob"]
    cut = brainctl("migrate", *arguments, "--cutover", "--writers-are-stopped", "-w", "json")
    assert cut.returncode == 0, cut.stderr
    assert json.loads(cut.stdout)["users"] == 3

    server = new_brainctl(store=target)
    assert etcdctl(server.endpoint, "get", "/k/1").returncode != 0
    assert etcdctl(server.endpoint, "--user", "alice:wonderland", "get", "/k/1").returncode != 0
    assert etcdctl(server.endpoint, "--user", "alice:other", "get", "/k/1").stdout == "/k/1\nv\n"
    assert etcdctl(server.endpoint, "--user", "alice:other", "put", "/k/1", "w").returncode != 0
    same = brainctl("verify", "--from", f"etcd://{source.endpoint}", "--to", f"etcd://{server.endpoint}", *ROOT)
    assert same.returncode == 0, same.stdout + same.stderr


def test_accounts_of_a_source_without_authentication(new_etcd: NewEtcd, tmp_path: Path) -> None:
    source = new_etcd()
    accounts(source, enabled=False)
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'target'}")
    done = brainctl("migrate", *arguments)
    assert done.returncode == 0, done.stderr
    assert "  auth     off (4 users, 2 roles)" in done.stdout.splitlines()
    assert brainctl("verify", *arguments).returncode == 0
    assert etcdctl(source.endpoint, "auth", "enable").returncode == 0
    switched = brainctl("verify", *arguments, *ROOT)
    assert switched.returncode == 7
    assert switched.stdout.splitlines()[0] == "authentication is off instead of on"
    over = brainctl("migrate", "--from", arguments[3], "--to", f"file://{tmp_path / 'second'}", "-w", "json")
    assert json.loads(over.stdout)["users"] == 4
    assert brainctl("verify", "--from", arguments[3], "--to", f"file://{tmp_path / 'second'}").returncode == 0


@pytest.mark.parametrize("kind", ["etcd", "brainctl"])
def test_accounts_that_may_not_be_seen(start: Callable[[str], Server], kind: str, tmp_path: Path) -> None:
    source = start(kind)
    accounts(source, enabled=True)
    carol = ("--user", "carol:glass")
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'target'}")
    refused = brainctl("migrate", *arguments, *carol)
    assert refused.returncode == 1
    assert "cannot be read (etcdserver: permission denied): --user with the role root" in refused.stderr
    assert "--no-auth leaves them out" in refused.stderr
    done = brainctl("migrate", *arguments, *carol, "--no-auth")
    assert done.returncode == 0, done.stderr
    assert "left behind (--no-auth)" in done.stderr
    assert "  auth     left behind" in done.stdout.splitlines()
    refused = brainctl("verify", *arguments, *carol)
    assert refused.returncode == 1
    assert "--no-auth" in refused.stderr
    assert brainctl("verify", *arguments, *carol, "--no-auth").returncode == 0
    missing = brainctl("verify", *arguments, *ROOT, "-w", "json")
    assert missing.returncode == 7
    kinds = [entry["kind"] for entry in json.loads(missing.stdout)["differences"]]
    assert kinds == ["authentication", *["missing-user"] * 4, *["missing-role"] * 2]
