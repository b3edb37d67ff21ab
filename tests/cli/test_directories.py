"""Commands on a directory: a mistyped name makes no store, and what belongs to another program is left alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from brainctl.engine.engine import Engine
from brainctl.engine.offline import rebuild
from brainctl.errors import ExitCode, InvalidInput, NotEmpty
from tests.conftest import NewEtcd
from tests.peers.servers import brainctl, etcdctl

SAVE = ("snapshot", "save", "{tmp}/file")
"""Whatever stands in its way, it ends with etcdctl's code."""
NEEDS_A_STORE = [
    ("get", "k"),
    ("put", "k", "v"),
    ("del", "k"),
    ("watch", "k"),
    ("lease", "grant", "60"),
    ("compaction", "1"),
    ("user", "list"),
    SAVE,
    ("snapshot", "save", "--link", "{tmp}/links"),
    ("store", "info"),
    ("store", "defrag"),
    ("store", "check", "{dir}"),
    ("store", "dump", "{dir}"),
    ("store", "repair", "{dir}", "--into", "{tmp}/into"),
    ("flash", "report", "{dir}"),
    ("verify", "--from", "file://{dir}", "--to", "file://{dir}"),
    ("migrate", "--from", "file://{dir}", "--to", "file://{tmp}/target"),
]
MAKES_A_STORE = [
    (("serve", "--data-dir", "{dir}", "--listen", "127.0.0.1:0"), ExitCode.INVALID_INPUT),
    (("serve", "--store", "file://{dir}", "--listen", "127.0.0.1:0"), ExitCode.INVALID_INPUT),
    (("store", "create", "{dir}"), ExitCode.INVALID_INPUT),
    (("migrate", "--from", "file://{tmp}/store", "--to", "file://{dir}"), ExitCode.INVALID_INPUT),
    (("migrate", "--from", "file://{tmp}/store", "--to", "file://{dir}", "--overwrite"), ExitCode.INVALID_INPUT),
    (("make-mirror", "file://{dir}"), ExitCode.INVALID_INPUT),
    (("store", "repair", "{tmp}/store", "--into", "{dir}"), ExitCode.NOT_EMPTY),
    (("snapshot", "restore", "{tmp}/backup", "--data-dir", "{dir}"), ExitCode.NOT_EMPTY),
    (("--store", "file://{tmp}/store", "snapshot", "save", "--link", "{dir}"), ExitCode.NOT_EMPTY),
]


def _of_etcd(directory: Path) -> None:
    for name in ("snap", "wal"):
        (directory / "member" / name).mkdir(parents=True)


def _of_a_rocksdb(directory: Path) -> None:
    directory.mkdir()
    for name in ("CURRENT", "LOCK", "MANIFEST-000004"):
        (directory / name).touch()


def _of_member(directory: Path) -> None:
    _of_etcd(directory.parent / "outer")
    (directory.parent / "outer" / "member").rename(directory)


def _file(directory: Path) -> None:
    directory.write_text("text")


OTHERS: list[tuple[Callable[[Path], object], str]] = [
    (_of_etcd, "the data directory of an etcd"),
    (_of_member, "the `member` directory of an etcd"),
    (_of_a_rocksdb, "it holds 'CURRENT' and 1 more"),
    (_file, "file"),
]


def run(argv: tuple[str, ...], directory: Path) -> tuple[int, str]:
    """The exit code and standard error of a command line with its places filled in."""
    filled = [word.format(dir=directory, tmp=directory.parent) for word in argv]
    done = brainctl(*filled, *(() if "{dir}" in " ".join(argv) else ("--store", f"file://{directory}")))
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("argv", NEEDS_A_STORE, ids=" ".join)
def test_a_directory_without_a_store_is_refused(argv: tuple[str, ...], tmp_path: Path) -> None:
    directory = tmp_path / "wrong"
    code, says = run(argv, directory)
    assert code == (ExitCode.INTERRUPTED if argv == SAVE else ExitCode.INVALID_INPUT)
    assert f"there is no store in {directory}: no such file or directory" in says
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.mark.parametrize(("make", "what"), OTHERS)
def test_it_says_what_is_there_instead(make: Callable[[Path], object], what: str, tmp_path: Path) -> None:
    directory = tmp_path / "theirs"
    make(directory)
    before = _tree(tmp_path)
    for argv in (("put", "k", "v"), ("store", "repair", "{dir}", "--into", "{tmp}/into")):
        code, says = run(argv, directory)
        assert code == ExitCode.INVALID_INPUT
        assert f"there is no store in {directory}" in says
        assert what in says or "not a directory" in says
    assert _tree(tmp_path) == before


@pytest.mark.parametrize(("make", "what"), OTHERS)
def test_the_engine_makes_no_store_beside_the_files_of_others(
    make: Callable[[Path], object], what: str, tmp_path: Path
) -> None:
    directory = tmp_path / "theirs"
    make(directory)
    before = _tree(tmp_path)
    with pytest.raises(InvalidInput, match=what):
        Engine.open(directory)
    with pytest.raises(NotEmpty), rebuild.fresh(directory):
        pass
    assert _tree(tmp_path) == before


@pytest.mark.parametrize(("argv", "expected"), MAKES_A_STORE)
def test_no_command_makes_one_there(argv: tuple[str, ...], expected: ExitCode, stores: Path, tmp_path: Path) -> None:
    directory = tmp_path / "theirs"
    for name in ("store", "backup"):
        shutil.copytree(stores / name, tmp_path / name)
    _of_etcd(directory)
    before = _tree(directory)
    code, says = run(("--store", f"file://{tmp_path}/store", *argv) if argv[0] == "make-mirror" else argv, directory)
    assert code == expected
    assert str(directory) in says
    assert expected is not ExitCode.INVALID_INPUT or "the data directory of an etcd" in says
    assert _tree(directory) == before


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a store and a backup of it."""
    directory = tmp_path_factory.mktemp("stores")
    url = f"file://{directory}/store"
    assert brainctl("store", "create", str(directory / "store")).returncode == 0
    assert brainctl("--store", url, "put", "k", "v").returncode == 0
    assert brainctl("--store", url, "snapshot", "save", "--link", str(directory / "backup")).returncode == 0
    return directory


def _tree(directory: Path) -> list[tuple[str, bytes]]:
    paths = [directory, *sorted(directory.rglob("*"))]
    return [(str(path), path.read_bytes() if path.is_file() else b"") for path in paths]


def test_the_data_directory_of_a_real_etcd_is_left_to_it(new_etcd: NewEtcd, tmp_path: Path) -> None:
    server = new_etcd(data_dir=tmp_path / "theirs")
    etcdctl(server.endpoint, "put", "k", "v")
    done = brainctl("serve", "--data-dir", str(server.data_dir), "--listen", "127.0.0.1:0")
    assert done.returncode == ExitCode.INVALID_INPUT
    assert "`brainctl migrate --from etcd://HOST:PORT" in done.stderr
    assert [path.name for path in server.data_dir.iterdir()] == ["member"]
    server.stop()
    server.start()
    assert etcdctl(server.endpoint, "get", "k").stdout == "k\nv\n"
    server.stop()
    database = server.data_dir / "member" / "snap" / "db"
    done = brainctl("serve", "--data-dir", str(database), "--listen", "127.0.0.1:0")
    assert (done.returncode, "a database file of etcd" in done.stderr) == (ExitCode.INVALID_INPUT, True)
    restored = brainctl("snapshot", "restore", str(database), "--skip-hash-check", "--data-dir", str(tmp_path / "ours"))
    assert restored.returncode == 0, restored.stderr
    assert brainctl("get", "k", "--store", f"file://{tmp_path / 'ours'}").stdout == "k\nv\n"


def test_a_new_store_has_no_name_that_an_etcd_takes(stores: Path, tmp_path: Path) -> None:
    done = brainctl("snapshot", "restore", str(stores / "backup"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["default.brainctl"]


def test_a_store_is_made_in_the_root_of_a_file_system(stores: Path, tmp_path: Path) -> None:
    for number, argv in enumerate((("snapshot", "restore", str(stores / "backup"), "--data-dir"), ("store", "create"))):
        directory = tmp_path / str(number)
        (directory / "lost+found").mkdir(parents=True)
        assert brainctl(*argv, str(directory)).returncode == 0
        assert brainctl("store", "check", str(directory)).returncode == 0
        assert (directory / "lost+found").is_dir()
        assert not [path for path in directory.iterdir() if path.name.startswith(".")]
    assert brainctl("get", "k", "--store", f"file://{tmp_path}/0").stdout == "k\nv\n"


def test_a_store_is_made_once(tmp_path: Path) -> None:
    assert brainctl("store", "create", str(tmp_path / "new"), "-w", "json").returncode == 0
    assert brainctl("store", "create", str(tmp_path / "new")).returncode == ExitCode.NOT_EMPTY
    assert brainctl("store", "create", "etcd://127.0.0.1:1").returncode == ExitCode.INVALID_INPUT
    assert brainctl("store", "create").returncode == ExitCode.BAD_ARGS
    url = f"file://{tmp_path / 'new'}"
    assert brainctl("put", "k", "v", "--store", url).returncode == 0
    assert brainctl("get", "k", "--print-value-only", "--store", url).stdout == "v\n"


@pytest.mark.parametrize(
    "argv",
    [
        ("serve", "--data-dir", ""),
        ("serve", "--data-dir="),
        ("snapshot", "restore", "{tmp}/backup", "--data-dir", ""),
        ("snapshot", "save", ""),
        ("snapshot", "save", "--link", "", "--store", "file://{tmp}/store"),
        ("store", "repair", "{tmp}/store", "--into", ""),
        ("store", "create", ""),
        ("flash", "probe", ""),
    ],
)
def test_an_empty_name_is_no_directory(argv: tuple[str, ...], stores: Path, tmp_path: Path) -> None:
    done = brainctl(*(word.format(tmp=stores) for word in argv), cwd=tmp_path)
    assert done.returncode == ExitCode.BAD_ARGS, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_prefix_without_a_store_on_tikv_is_refused(tikv_url: str) -> None:
    for argv in (("get", "k"), ("put", "k", "v"), ("store", "info")):
        done = brainctl(*argv, "--store", tikv_url)
        assert done.returncode == ExitCode.INVALID_INPUT
        assert f"there is no store at {tikv_url}" in done.stderr
    assert brainctl("store", "create", tikv_url).returncode == 0
    assert brainctl("put", "k", "v", "--store", tikv_url).returncode == 0
    assert brainctl("get", "k", "--store", tikv_url).stdout == "k\nv\n"
    assert brainctl("store", "create", tikv_url).returncode == ExitCode.NOT_EMPTY
