"""I3, the traps of the command line and of the tools around it: brainctl as a client, beside the real etcdctl."""

import json
import signal
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import Client
from tests.peers import ROOT, require
from tests.peers.servers import Etcd, brainctl, brainctl_argv, clean_environment, etcdctl

Done = subprocess.CompletedProcess[str]


def argv(program: str, endpoint: str) -> list[str]:
    start = brainctl_argv() if program == "brainctl" else [str(require("etcdctl"))]
    return [*start, "--endpoints", endpoint]


@pytest.fixture(scope="module")
def server(etcd: Etcd) -> Iterator[Client]:
    client = Client(etcd)
    yield client
    client.close()


@pytest.fixture(params=["brainctl", "etcdctl"])
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(program: str, endpoint: str, *words: str, stdin: str | None = None) -> Done:
    if program == "etcdctl":
        return etcdctl(endpoint, *words, stdin=stdin)
    return brainctl("--endpoints", endpoint, *words, stdin=stdin)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(started: list[subprocess.Popen[str]], command: Sequence[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=clean_environment()))
    return started[-1]


def test_i3_16b_revisions_and_ids_are_text_in_the_output(server: Client) -> None:
    lease = (1 << 53) + 1
    server.grant(60, lease)
    shown = json.loads(brainctl("--endpoints", server.server.endpoint, "lease", "list", "-w", "json").stdout)
    assert str(lease) in {item["id"] for item in shown["leases"]}
    server.revoke(lease)


def test_i3_18_a_mirror_from_a_revision_keeps_the_prefix(
    server: Client, key: bytes, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    """etcdctl drops the prefix when --rev is given without --dest-prefix; brainctl does not."""
    prefix = key.decode()
    at = server.put(key + b"a", b"1").header.revision
    with Etcd(tmp_path / "target") as target:
        copy = Client(target)
        words = ["make-mirror", target.endpoint, "--prefix", prefix, "--rev", str(at)]
        mirror = start(started, [*argv("brainctl", server.server.endpoint), *words])
        with copy.watch() as watch:
            watch.create(b"\0", b"\0")
            (event,) = watch.events(1)
        assert event.kv.key == key + b"a"
        mirror.send_signal(signal.SIGINT)
        mirror.communicate(timeout=120)
        copy.close()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('mod("{key}") != "0"\n\nput {key} yes\n\nput {key} no\n\n', 0),
        ('mod("{key}") = "0"\n\nput {key} yes\n\n', 3),
        ('mod("{key}") = "0"\n\n', 3),
    ],
)
def test_i3_19_a_transaction_is_three_parts_with_an_empty_line_behind_each(
    server: Client, key: bytes, program: str, text: str, code: int
) -> None:
    name = key.decode() + program
    done = run(program, server.server.endpoint, "txn", stdin=text.replace("{key}", name))
    assert (done.returncode, server.get(name.encode()).count) == (code, 1 - bool(code))
    if not code:
        assert server.get(name.encode()).kvs[0].value == b"no"


def test_i3_20b_a_file_without_its_sum_is_not_restored(server: Client, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.db", tmp_path / "cut.db"
    assert brainctl("--endpoints", server.server.endpoint, "snapshot", "save", str(whole)).returncode == 0
    cut.write_bytes(whole.read_bytes()[:-32])
    refused = brainctl("snapshot", "restore", str(cut), "--data-dir", str(tmp_path / "no"))
    assert refused.returncode != 0
    assert not (tmp_path / "no").exists()
    assert brainctl("snapshot", "restore", str(whole), "--data-dir", str(tmp_path / "yes")).returncode == 0


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (("get", "k", "--min-mod-rev", "1"), True),
        (("get", "k", "--min-mod-revision", "1"), False),
        (("get", "k", "--max-create-rev", "9"), True),
        (("get", "k", "--max-create-revision", "9"), False),
        (("get", "k", "--sort-by", "MODIFY"), True),
        (("defrag", "--data-dir", "d"), False),
        (("snapshot", "status", "--help"), None),
    ],
    ids=str,
)
def test_i3_23_flags_are_those_of_the_code_not_of_its_readme(
    server: Client, program: str, words: tuple[str, ...], taken: bool | None
) -> None:
    done = run(program, server.server.endpoint, *words)
    if taken is not None:
        assert (done.returncode == 0) is taken, done.stderr


def test_i3_24_a_database_that_an_etcd_has_open_is_not_read(tmp_path: Path) -> None:
    """Its pages change under a reader: etcdutl waits for the lock, brainctl says so at once."""
    with Etcd(tmp_path) as etcd:
        assert etcdctl(etcd.endpoint, "put", "a", "b").returncode == 0
        file = etcd.data_dir / "member" / "snap" / "db"
        for words in (("snapshot", "status"), ("hashkv",)):
            done = brainctl(*words, str(file))
            assert (done.returncode, done.stdout) == (11, "")
            assert "in use" in done.stderr
    assert brainctl("hashkv", str(file)).returncode == 0


def test_i3_27_a_lock_has_a_lease_of_ten_seconds(
    server: Client, key: bytes, program: str, started: list[subprocess.Popen[str]]
) -> None:
    holder = start(started, [*argv(program, server.server.endpoint), "lock", key.decode() + program])
    assert holder.stdout is not None
    held = holder.stdout.readline().strip()
    assert server.time_to_live(int(held.rpartition("/")[2], 16)).grantedTTL == 10
    holder.send_signal(signal.SIGINT)
    assert holder.wait(120) == 0


def test_i3_28_the_messages_are_generated_for_a_current_protobuf() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [requirement.split(">")[0] for requirement in project["dependencies"]]
    assert "protobuf" in names
    assert not [name for name in names if "etcd3" in name]
    generated = (ROOT / "brainctl" / "etcdpb" / "rpc_pb2.py").read_text()
    assert "AddSerializedFile" in generated
    assert pb.PutRequest.FromString(pb.PutRequest(key=b"k").SerializeToString()).key == b"k"
