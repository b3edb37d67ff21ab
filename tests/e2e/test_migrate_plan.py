"""migrate plan and migrate status: what they say is what the migration does."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from brainctl.errors import ExitCode
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.alarms import ALARM
from tests.conftest import NewBrainctl, NewEtcd
from tests.peers.servers import Etcd, brainctl, brainctl_argv, clean_environment, etcdctl
from tests.support.rpc import Remote

ROUNDS = 5


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd with the keys k0 to k9, each written ROUNDS times, a lease, and a user."""
    with Etcd(tmp_path_factory.mktemp("plan")) as server:
        for number in range(ROUNDS):
            puts = "".join(f"put k{key} {number}\n" for key in range(10))
            assert etcdctl(server.endpoint, "txn", stdin=f"\n{puts}\n\n").returncode == 0
        assert etcdctl(server.endpoint, "lease", "grant", "1000").returncode == 0
        assert etcdctl(server.endpoint, "user", "add", "anna:pw").returncode == 0
        yield server


def plan(source: Etcd, target: str, *flags: str) -> tuple[int, dict[str, Any]]:
    done = brainctl("migrate", "plan", "--from", f"etcd://{source.endpoint}", "--to", target, *flags, "-w", "json")
    return done.returncode, json.loads(done.stdout)


def migrate(source: Etcd, target: str, *flags: str) -> int:
    return brainctl("migrate", "--from", f"etcd://{source.endpoint}", "--to", target, *flags).returncode


def test_a_plan_writes_nothing(source: Etcd, tmp_path: Path) -> None:
    code, found = plan(source, f"file://{tmp_path / 'target'}")
    assert code == 0
    assert not (tmp_path / "target").exists()
    seen = found["source"]
    assert (found["ready"], seen["base_revision"], seen["revision"]) == (True, "1", str(ROUNDS + 1))
    assert (seen["leases"], seen["users"], seen["roles"], found["target"]["exists"]) == (1, 1, 0, False)
    assert seen["version"].startswith("3.")
    assert found["target"]["free_bytes"] > 0
    text = brainctl("migrate", "plan", "--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'target'}")
    assert text.stdout.splitlines()[-1] == "ready"
    assert "note: left behind in any case" in text.stdout


@pytest.mark.parametrize("case", ["other data", "another source", "another history", "cut over", "in use", "no store"])
def test_a_plan_ends_as_the_migration_would(case: str, source: Etcd, new_brainctl: NewBrainctl, tmp_path: Path) -> None:
    target, flags = f"file://{tmp_path / 'target'}", []
    if case == "other data":
        assert brainctl("store", "create", target).returncode == 0
        assert brainctl("put", "k", "v", "--store", target).returncode == 0
    elif case == "another source":
        other = f"file://{tmp_path / 'other'}"
        assert brainctl("store", "create", other).returncode == 0
        assert brainctl("migrate", "--from", other, "--to", target).returncode == 0
    elif case == "another history":
        assert migrate(source, target) == 0
        flags = ["--history", "none"]
    elif case == "cut over":
        assert migrate(source, target, "--cutover", "--writers-are-stopped") == 0
    elif case == "in use":
        new_brainctl(store=target)
    else:
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "file").write_text("of another program")
    done = brainctl("migrate", "plan", "--from", f"etcd://{source.endpoint}", "--to", target, *flags)
    assert done.returncode == migrate(source, target, *flags) != 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: ")


def test_a_source_that_has_found_damage_is_not_copied(new_etcd: NewEtcd, tmp_path: Path) -> None:
    """Only the alarm tells it: its text is that of any other error of a server."""
    source, target = new_etcd(), f"file://{tmp_path / 'target'}"
    for alarm, code in ((pb.NOSPACE, ExitCode.OK), (pb.CORRUPT, ExitCode.DAMAGED)):
        with closing(Remote(source.endpoint)) as server:
            server.call(ALARM, pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, memberID=1, alarm=alarm))
        assert plan(source, target)[0] == code


def test_what_a_flag_allows_is_no_obstacle(source: Etcd, tmp_path: Path) -> None:
    target = f"file://{tmp_path / 'target'}"
    assert brainctl("store", "create", target).returncode == 0
    assert brainctl("put", "k", "v", "--store", target).returncode == 0
    code, found = plan(source, target, "--overwrite", "--no-auth")
    assert (code, found["source"]["users"]) == (0, None)
    warnings = [finding["text"] for finding in found["findings"] if finding["level"] == "warning"]
    assert any("--overwrite removes" in text for text in warnings)
    assert any("left behind (--no-auth)" in text for text in warnings)
    assert brainctl("get", "k", "--store", target).stdout == "k\nv\n", "nothing was removed"


def test_the_status_of_a_migration(source: Etcd, tmp_path: Path) -> None:
    target = f"file://{tmp_path / 'target'}"
    missing = brainctl("migrate", "status", "--to", target)
    assert (missing.returncode, "there is no store in" in missing.stderr) == (3, True)
    argv = ["migrate", "--from", f"etcd://{source.endpoint}", "--to", target, "--follow"]
    with subprocess.Popen([*brainctl_argv(), *argv], stderr=subprocess.PIPE, env=clean_environment()) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line).get("phase") == "synced":
                break
        shown = json.loads(brainctl("migrate", "status", "--to", target, "-w", "json").stdout)
        assert shown["process"] == str(process.pid)
        process.terminate()
        process.stderr.read()
        assert process.wait(120) == 0
    ended = json.loads(brainctl("migrate", "status", "--to", target, "-w", "json").stdout)
    assert (ended["phase"], ended["watermark"], ended["base"]) == ("synced", str(ROUNDS + 1), "1")
    assert (ended["events"], ended["starts"], ended["process"]) == (str(10 * ROUNDS), "1", "")
    assert brainctl("store", "create", f"file://{tmp_path / 'other'}").returncode == 0
    none = brainctl("migrate", "status", "--to", f"file://{tmp_path / 'other'}")
    assert (none.returncode, "no migration has written to" in none.stderr) == (3, True)


def test_the_status_over_tikv(source: Etcd, tikv_url: str) -> None:
    none = brainctl("migrate", "status", "--to", tikv_url)
    assert none.returncode == 3, none
    code, found = plan(source, tikv_url)
    assert (code, found["target"]["empty"]) == (0, True)
    assert migrate(source, tikv_url) == 0
    shown = json.loads(brainctl("migrate", "status", "--to", tikv_url, "-w", "json").stdout)
    assert (shown["phase"], shown["watermark"]) == ("synced", str(ROUNDS + 1))
    code, found = plan(source, tikv_url)
    assert (code, found["target"]["phase"]) == (0, "synced")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("plan", "--to", "file://x"), "migrate needs --from STORE and --to STORE"),
        (("status",), "migrate status needs --to STORE"),
        (("pln", "--from", "etcd", "--to", "file://x"), "migrate does not know 'pln'"),
    ],
)
def test_one_clear_sentence(argv: tuple[str, ...], sentence: str) -> None:
    done = brainctl("migrate", *argv)
    assert (done.returncode, done.stderr.count("\n")) == (128, 1)
    assert sentence in done.stderr
