"""What an operator is told of a failure: what happened, where, and what to do next, a row for each kind and cause."""

import errno
import json
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from crc32c import crc32c

from brainctl.errors import (
    RESTORE,
    BrainctlError,
    ExitCode,
    SnapshotDamaged,
    StoreDamaged,
    StoreFailed,
    StoreFull,
    StoreTooNew,
    next_step,
)
from brainctl.server.status import status_of
from tests.conftest import NewEtcd
from tests.peers.servers import Brainctl, brainctl, brainctl_argv
from tests.unit.engine.test_versions import newer_manifest, newer_segment, unpacked

POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] if os.geteuid() == 0 else []
"""Root may read and write everywhere, unless it has given up its capabilities."""
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def flip(path: Path, content: bytes) -> Path:
    """Change the first byte of what is in a file."""
    data = path.read_bytes()
    with path.open("rb+") as file:  # the file has holes, which stay
        file.seek(data.index(content))
        file.write(bytes([content[0] ^ 1]))
    return path


class World:
    """A directory with a sound store, a snapshot and a backup of it, and what a row does to them."""

    def __init__(self, directory: Path, made: Path, stack: ExitStack) -> None:
        subprocess.run(["cp", "-r", "--sparse=always", str(made), str(directory)], check=True)
        self.directory = directory
        self.stack = stack
        self.store, self.snapshot, self.backup = (directory / name for name in ("store", "snapshot", "backup"))

    def serve(self, *flags: str) -> list[str]:
        return ["serve", "--data-dir", str(self.store), "--listen", "127.0.0.1:0", *flags]

    def check(self) -> list[str]:
        return ["store", "check", str(self.store)]

    def restore(self, source: Path, *flags: str) -> list[str]:
        return ["snapshot", "restore", str(source), "--data-dir", str(self.directory / "new"), *flags]

    def damage_log(self) -> None:
        flip(next(self.store.glob("*.seg")), b"k-of-log")

    def damage_manifest(self) -> None:
        flip(self.store / "MANIFEST", b"format")

    def damage_run(self) -> None:
        shutil.rmtree(self.store)
        unpacked("runs2", self.directory)
        path = max(self.store.glob("*.run"))
        data = bytearray(path.read_bytes())
        data[4096] ^= 1
        path.write_bytes(data)

    def newer_manifest(self) -> None:
        shutil.rmtree(self.store)
        newer_manifest(unpacked("runs2", self.directory)[0])

    def newer_backup(self) -> Path:
        line = json.dumps(json.loads((self.backup / "BACKUP").read_bytes().partition(b"\n")[0]) | {"format": 9})
        data = line.encode() + b"\n"
        (self.backup / "BACKUP").write_bytes(data + b"%08x\n" % crc32c(data))
        return self.backup

    def listener(self) -> str:
        taken = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        return f"127.0.0.1:{taken.getsockname()[1]}"

    def mount(self, *argv: str) -> None:
        subprocess.run(["mount", *argv, str(self.store)], check=True)
        self.stack.callback(subprocess.run, ["umount", "--lazy", str(self.store)], check=True)

    def close_directory(self) -> None:
        """Take the right to write from the owner, until the test ends."""
        self.directory.chmod(stat.S_IRUSR | stat.S_IXUSR)
        self.stack.callback(self.directory.chmod, stat.S_IRWXU)

    def write(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text)
        return str(self.directory / name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store, a snapshot and a backup of it once."""
    directory = tmp_path_factory.mktemp("sound")
    store = ("--store", f"file://{directory / 'store'}")
    for argv in (
        ("store", "create", str(directory / "store")),
        (*store, "put", "k-of-log", "v"),
        (*store, "put", "k-behind", "v"),
        (*store, "snapshot", "save", str(directory / "snapshot")),
        (*store, "snapshot", "save", "--link", str(directory / "backup")),
    ):
        done = brainctl(*argv)
        assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path / "world", made, stack)
    shutil.rmtree(tmp_path / "world")


class Row(NamedTuple):
    """A cause, and what must be said of it."""

    cause: Callable[[World], list[str]]
    """Makes it, and returns the command line that meets it."""
    code: ExitCode
    what: str
    where: str
    step: str


def after(act: Callable[[World], object], argv: Callable[[World], list[str]]) -> Callable[[World], list[str]]:
    def cause(world: World) -> list[str]:
        act(world)
        return argv(world)

    return cause


DAMAGED = StoreDamaged.advice
ROWS = {
    "log, served": Row(
        after(World.damage_log, World.serve), ExitCode.DAMAGED, "is damaged", "store/00000001-0.seg", DAMAGED
    ),
    "log, checked": Row(
        after(World.damage_log, World.check), ExitCode.DAMAGED, "damaged", "store/00000001-0.seg", RESTORE
    ),
    "log, written": Row(
        after(World.damage_log, lambda world: ["--store", f"file://{world.store}", "put", "k", "v"]),
        ExitCode.DAMAGED,
        "is damaged",
        "store/00000001-0.seg",
        DAMAGED,
    ),
    "manifest, served": Row(
        after(World.damage_manifest, World.serve), ExitCode.DAMAGED, "check value", "store/MANIFEST", DAMAGED
    ),
    "manifest, checked": Row(
        after(World.damage_manifest, World.check), ExitCode.DAMAGED, "check value", "store/MANIFEST", RESTORE
    ),
    "run, checked": Row(after(World.damage_run, World.check), ExitCode.DAMAGED, "damaged", ".run", RESTORE),
    "log lost": Row(
        after(lambda world: (world.store / "MANIFEST").unlink(), World.serve),
        ExitCode.DAMAGED,
        "the file is missing",
        "store/MANIFEST",
        DAMAGED,
    ),
    "newer manifest": Row(
        after(World.newer_manifest, World.serve),
        ExitCode.UNSUPPORTED,
        "of a later build",
        "store/MANIFEST",
        StoreTooNew.advice,
    ),
    "newer segment": Row(
        after(lambda world: newer_segment(world.store), World.serve),
        ExitCode.UNSUPPORTED,
        "of a later build",
        ".seg",
        StoreTooNew.advice,
    ),
    "newer backup": Row(
        lambda world: world.restore(world.newer_backup()),
        ExitCode.UNSUPPORTED,
        "of a later build",
        "backup/BACKUP",
        StoreTooNew.advice,
    ),
    "backup": Row(
        lambda world: world.restore(flip(world.backup / "BACKUP", b"format").parent),
        ExitCode.DAMAGED,
        "check value",
        "backup/BACKUP",
        SnapshotDamaged.advice,
    ),
    "backup, a segment": Row(
        lambda world: world.restore(flip(next(world.backup.glob("*.seg")), b"k-of-log").parent),
        ExitCode.DAMAGED,
        "damaged",
        "world/backup: 0",
        SnapshotDamaged.advice,
    ),
    "no backup": Row(
        lambda world: world.restore(world.directory),
        ExitCode.INVALID_INPUT,
        "there is no backup",
        "world",
        "`brainctl snapshot save --link` makes one",
    ),
    "snapshot": Row(
        lambda world: world.restore(flip(world.snapshot, b"k-of-log")),
        ExitCode.ERROR,
        "expected sha256",
        "world/snapshot is damaged",
        SnapshotDamaged.advice,
    ),
    "snapshot, no hash wanted": Row(
        lambda world: world.restore(Path(world.write("other", "not of bbolt" * 999)), "--skip-hash-check"),
        ExitCode.DAMAGED,
        "not a bbolt file",
        "world/other",
        SnapshotDamaged.advice,
    ),
    "snapshot status": Row(
        lambda world: ["snapshot", "status", world.write("other", "not of bbolt" * 999)],
        ExitCode.DAMAGED,
        "not a bbolt file",
        "world/other",
        SnapshotDamaged.advice,
    ),
    "hashkv": Row(
        lambda world: ["hashkv", world.write("other", "")],
        ExitCode.DAMAGED,
        "is empty",
        "world/other",
        SnapshotDamaged.advice,
    ),
    "restored over a store": Row(
        lambda world: ["snapshot", "restore", str(world.snapshot), "--data-dir", str(world.store)],
        ExitCode.NOT_EMPTY,
        "not empty",
        "world/store",
        "name a directory that is missing or empty",
    ),
    "created over a store": Row(
        lambda world: ["store", "create", str(world.store)],
        ExitCode.NOT_EMPTY,
        "there is a store",
        "world/store",
        "use it as it is, or choose another place",
    ),
    "no right to write": Row(
        after(World.close_directory, lambda world: ["serve", "--data-dir", str(world.directory / "new")]),
        ExitCode.IO,
        "Permission denied",
        "world/new",
        next_step(OSError(errno.EACCES, "")),
    ),
    "no right to save": Row(
        after(
            World.close_directory,
            lambda world: ["--store", f"file://{world.store}", "snapshot", "save", str(world.directory / "file")],
        ),
        ExitCode.INTERRUPTED,
        "could not write",
        "world/file",
        next_step(OSError(errno.EACCES, "")),
    ),
    "port in use": Row(
        lambda world: world.serve("--listen", world.listener()),
        ExitCode.LISTEN,
        "address already in use",
        "cannot listen at 127.0.0.1:",
        "`ss -lnp`",
    ),
    "address of another machine": Row(
        lambda world: world.serve("--listen", "203.0.113.1:0"),
        ExitCode.LISTEN,
        "cannot assign requested address",
        "203.0.113.1:0",
        "`ip addr`",
    ),
    "host without a name": Row(
        lambda world: world.serve("--listen", "no-such-host.invalid:0"),
        ExitCode.LISTEN,
        "cannot listen",
        "no-such-host.invalid:0",
        "check the name of the host",
    ),
    "socket without a directory": Row(
        lambda world: world.serve("--listen", f"unix://{world.directory}/missing/socket"),
        ExitCode.LISTEN,
        "no such file",
        "missing/socket",
        "check the name",
    ),
    "settings missing": Row(
        lambda world: world.serve("--config-file", f"{world.directory}/none"),
        ExitCode.INVALID_INPUT,
        "No such file",
        "world/none",
        "check the name",
    ),
    "settings of etcd": Row(
        lambda world: world.serve("--config-file", world.write("etcd.yaml", "data-dir: /var/lib/etcd\n")),
        ExitCode.INVALID_INPUT,
        "cannot read",
        "world/etcd.yaml",
        "it is TOML",
    ),
    "key missing": Row(
        lambda world: world.serve("--cert-file", f"{world.directory}/c", "--key-file", f"{world.directory}/k"),
        ExitCode.BAD_ARGS,
        "No such file",
        "world/c",
        "check the name",
    ),
}


def run(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command line as a user to whom rights apply."""
    return subprocess.run(
        [*POWERLESS, *brainctl_argv(), *argv], capture_output=True, text=True, timeout=120, check=False
    )


def must_say(done: "subprocess.CompletedProcess[str]", row: Row) -> None:
    """Assert that all of it is said."""
    assert done.returncode == row.code, done.stderr
    for part in (row.what, row.where, row.step):
        assert part in done.stderr
    last = done.stderr.splitlines()[-1]
    assert row.step in last
    assert last.count("; ") < 4, last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ROWS)
def test_a_failure_says_what_where_and_what_next(name: str, world: World) -> None:
    row = ROWS[name]
    must_say(run(row.cause(world)), row)


def test_a_store_in_use_says_who_has_it_and_where_to_ask(tmp_path: Path) -> None:
    with Brainctl(tmp_path) as server:
        data = tmp_path / "data"
        step = f"ask it with --endpoints={server.endpoint}, or stop it first"
        for argv in (["serve", "--data-dir", str(data)], ["store", "repair", str(data), "--into", f"{tmp_path}/new"]):
            done = run(argv)
            must_say(done, Row(lambda _: [], ExitCode.IN_USE, f"in use by process {server.pid}", str(data), step))
        checked = run(["store", "check", str(data)])
        must_say(
            checked, Row(lambda _: [], ExitCode.IN_USE, f"process {server.pid}", str(data), "`brainctl store scrub`")
        )


@root_only
def test_a_disk_that_takes_nothing(world: World) -> None:
    world.mount("--bind", "-o", "ro", str(world.store))
    row = Row(lambda _: [], ExitCode.IO, "Read-only file system", "world/store", next_step(OSError(errno.EROFS, "")))
    must_say(run(world.serve()), row)


@root_only
def test_a_disk_without_room(world: World) -> None:
    world.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    must_say(run(world.serve()), Row(lambda _: [], ExitCode.NO_SPACE, "No space left", "world/store", StoreFull.advice))


@root_only
def test_a_disk_without_room_for_a_snapshot(world: World, new_etcd: NewEtcd) -> None:
    etcd = new_etcd()
    assert brainctl("put", "k", "--endpoints", etcd.endpoint, stdin="v" * 1_400_000).returncode == 0
    world.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    done = run(["snapshot", "save", f"{world.store}/file", "--endpoints", etcd.endpoint])
    step = next_step(OSError(errno.ENOSPC, ""))
    must_say(done, Row(lambda _: [], ExitCode.INTERRUPTED, "No space left on device", "world/store/file", step))
    assert list(world.store.iterdir()) == [], "nothing that could be taken for a snapshot"


KINDS = (StoreDamaged, SnapshotDamaged, StoreFailed, StoreFull, StoreTooNew)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_advice_and_clients_read_it(kind: type[BrainctlError]) -> None:
    assert kind.advice
    error = kind("/data: something happened")
    assert error.told() == status_of(error).message == f"/data: something happened; {kind.advice}"
    assert str(error) == "/data: something happened"
    assert kind("x").advised("do this").told() == "x; do this"
    assert kind("x").advised("").told() == f"x; {kind.advice}"
