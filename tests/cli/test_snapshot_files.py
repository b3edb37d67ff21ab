"""snapshot status, snapshot restore and hashkv: equal to etcdutl, and to the etcd that the snapshot is of."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from brainctl.backup import restore
from brainctl.backup.etcd_database import open_database
from brainctl.engine.offline import rebuild
from tests.peers import require
from tests.peers.servers import Brainctl, Etcd, brainctl, clean_environment, etcdctl

FORMATS = ("simple", "fields", "table", "json")
COMPACTED = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd with a history that is compacted at a deletion, transactions, a lease and users."""
    with Etcd(tmp_path_factory.mktemp("etcd")) as server:

        def run(*argv: str, stdin: str = "") -> str:
            done = etcdctl(server.endpoint, *argv, stdin=stdin)
            assert done.returncode == 0, (argv, done.stderr)
            return done.stdout

        lease = run("lease", "grant", "5000").split()[1]
        run("put", "leased", "1", "--lease", lease)
        run("put", "large", "x" * 20_000)
        for n in range(COMPACTED - 4):
            run("put", f"k{n % 10}", str(n))
        run("del", "k0", "k4", "--range")
        run("compaction", str(COMPACTED))
        run("txn", stdin="\nput a 1\nput b 2\ndel k5\nput k1 again\n\n\n")
        run("del", "a")
        run("put", "a", "back")
        for argv in (
            ("user", "add", "root:secret"),
            ("user", "add", "anna:pw"),
            ("role", "add", "reader"),
            ("role", "grant-permission", "reader", "read", "k", "--prefix"),
            ("user", "grant-role", "anna", "reader"),
        ):
            run(*argv)
        yield server


@pytest.fixture(scope="module")
def file(server: Etcd, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "snapshot.db"
    assert etcdctl(server.endpoint, "snapshot", "save", str(path)).returncode == 0
    return path


def etcdutl(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run it on copies of the files: it writes into what it hashes, and the digest does not fit any more."""
    argv = tuple(copied(word) if word.endswith(".db") else word for word in argv)
    command = [str(require("etcdutl")), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=clean_environment())


def copied(file: str) -> str:
    copy = Path(file).with_suffix(".copy")
    shutil.copy(file, copy)
    return str(copy)


def numbers_as_text(line: str) -> dict[str, str]:
    return {name: str(value) for name, value in json.loads(line).items()}


def assert_alike(*argv: str) -> None:
    theirs, ours = etcdutl(*argv), brainctl(*argv)
    assert ours.returncode == theirs.returncode, (argv, ours, theirs)
    if theirs.stdout.startswith("{"):
        assert numbers_as_text(ours.stdout) == numbers_as_text(theirs.stdout)
    else:
        assert ours.stdout == theirs.stdout, argv
    assert ours.stderr.splitlines()[:1] == theirs.stderr.splitlines()[:1], argv


@pytest.mark.parametrize("output", FORMATS)
def test_status_and_hash_are_those_of_etcdutl(file: Path, output: str) -> None:
    assert_alike("snapshot", "status", str(file), "-w", output)
    assert_alike("hashkv", str(file), "-w", output)


@pytest.mark.parametrize("revision", [1, COMPACTED - 1, COMPACTED, COMPACTED + 1, COMPACTED + 2, 1000])
def test_the_hash_at_a_revision_is_that_of_etcdutl(file: Path, revision: int) -> None:
    assert_alike("hashkv", str(file), "--rev", str(revision))


@pytest.mark.parametrize(
    "argv",
    [
        ("snapshot", "status"),
        ("snapshot", "status", "missing"),
        ("snapshot", "restore"),
        ("snapshot", "restore", "missing", "--bump-revision", "5"),
        ("snapshot", "restore", "missing", "--mark-compacted"),
        ("hashkv", "missing"),
        ("hashkv",),
    ],
)
def test_mistakes_are_answered_as_by_etcdutl(argv: tuple[str, ...]) -> None:
    assert_alike(*argv)


def test_a_restored_store_is_the_one_that_was_saved(server: Etcd, file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert brainctl("snapshot", "restore", str(file), "--data-dir", str(data)).returncode == 0
    with Brainctl(tmp_path) as restored:
        for argv in (
            ("endpoint", "hashkv"),
            ("get", "", "--prefix", "--keys-only", "--sort-by", "MODIFY"),
            ("get", "", "--prefix", "--rev", str(COMPACTED)),
            ("get", "k1", "--rev", str(COMPACTED - 1)),
            ("lease", "list"),
            ("user", "get", "anna", "--detail"),
            ("auth", "status"),
        ):
            theirs, ours = etcdctl(server.endpoint, *argv), etcdctl(restored.endpoint, *argv)
            assert ours.returncode == theirs.returncode
            assert ours.stdout.replace(restored.endpoint, server.endpoint) == theirs.stdout, argv
        assert etcdctl(restored.endpoint, "auth", "enable").returncode == 0
        assert etcdctl(restored.endpoint, "--user", "anna:pw", "get", "k1").stdout == "k1\nagain\n"


@pytest.mark.parametrize("changes", [1, 3])
def test_it_makes_no_difference_how_the_commits_are_cut(
    server: Etcd, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    monkeypatch.setattr(rebuild, "CHANGES", changes)
    restore.restore(open_database(file), tmp_path / "data")
    with Brainctl(tmp_path) as restored:
        hashes = [etcdctl(one.endpoint, "endpoint", "hashkv").stdout.split(", ")[1:] for one in (server, restored)]
    assert hashes[0] == hashes[1]


def test_a_raised_revision_is_compacted(file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    raised = ("--bump-revision", "1000", "--mark-compacted")
    assert brainctl("snapshot", "restore", str(file), "--data-dir", str(data), *raised).returncode == 0
    before = json.loads(brainctl("snapshot", "status", str(file), "-w", "json").stdout)
    with Brainctl(tmp_path) as restored:
        answer = json.loads(etcdctl(restored.endpoint, "get", "", "--prefix", "-w", "json").stdout)
        assert answer["header"]["revision"] == int(before["revision"]) + 1000
        assert answer["count"] == int(before["totalKey"])
        old = etcdctl(restored.endpoint, "get", "k1", "--rev", before["revision"])
        assert "has been compacted" in old.stderr


def test_what_is_damaged_or_in_the_way_is_refused(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    target = ("--data-dir", str(tmp_path / "data"))
    assert "expected sha256" in brainctl("snapshot", "restore", str(broken), *target).stderr
    broken.write_bytes(file.read_bytes()[:-32])
    assert "missing hash" in brainctl("snapshot", "restore", str(broken), *target).stderr
    assert list(tmp_path.iterdir()) == [broken]
    assert brainctl("snapshot", "restore", str(broken), *target, "--skip-hash-check").returncode == 0
    again = brainctl("snapshot", "restore", str(file), *target)
    assert (again.returncode, "not empty" in again.stderr) == (14, True)
    broken.write_bytes(b"no database" * 1000)
    assert brainctl("snapshot", "status", str(broken)).returncode == 12
