"""A store into which a migration has not finished its copy is read with a warning, and neither served nor written."""

import asyncio
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from brainctl.cli import main
from brainctl.clock import ManualClock
from brainctl.errors import ExitCode, InvalidInput
from brainctl.etcdpb import kv_pb2, rpc_pb2
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import History, Record
from brainctl.migrate.migrator import Migrator
from brainctl.stores.registry import open_replica, open_store
from brainctl.stores.store import Checkpoint
from brainctl.stores.unfinished import COMMITTED, SYNCED, Admission, Standing, changes
from brainctl.verify.verifier import Verifier
from tests.conftest import NewEtcd
from tests.peers.servers import Brainctl, Playground, brainctl, brainctl_argv, clean_environment, etcdctl

BASE = 5
HOW_FAR = "has copied 1 of 10 keys"
LEASE = 0x7B
KINDS = ["file", "tikv"]
CHANGES = [
    ("put", "k", "v"),
    ("del", "k"),
    ("txn",),
    ("lease", "grant", "60"),
    ("lease", "keep-alive", "--once", f"{LEASE:x}"),
    ("compaction", "5"),
    ("user", "add", "u", "--no-password"),
    ("lock", "name", "true"),
]
READS = [
    ("get", "k"),
    ("lease", "timetolive", f"{LEASE:x}"),
    ("endpoint", "status"),
    ("store", "info"),
    ("migrate", "--from", "{url}", "--to", "file://{tmp}/target", "--even-unfinished"),
    ("verify", "--from", "{url}", "--to", "file://{tmp}/target"),
    ("verify", "--from", "file://{tmp}/target", "--to", "{url}"),
]
COPIES = [
    ("migrate", "--from", "{url}", "--to", "file://{tmp}/target"),
    ("make-mirror", "file://{tmp}/target"),
]
FILE_READS = [
    ("store", "check", "{dir}"),
    ("snapshot", "save", "--link", "{tmp}/links"),
    ("snapshot", "save", "--link", "{tmp}/later", "--base", "{tmp}/links"),
    ("snapshot", "status", "{tmp}/links"),
    ("snapshot", "status", "{tmp}/later"),
    ("verify", "--from", "file://{tmp}/links", "--to", "file://{tmp}/target"),
    ("verify", "--from", "file://{tmp}/target", "--to", "file://{tmp}/later"),
    ("store", "dump", "{dir}"),
    ("store", "defrag", "{dir}"),
    ("snapshot", "restore", "{tmp}/links", "--data-dir", "{tmp}/restored"),
    ("store", "repair", "{dir}", "--into", "{tmp}/repaired"),
    ("flash", "report", "{dir}"),
]


async def leave(url: str, phase: Phase) -> None:
    """Do what a migration has done that was killed in a phase."""
    target = await open_replica(url)
    record = Record(phase, 0xC1, History.ALL, base=BASE, watermark=BASE, expected=10, keys=1)
    checkpoint = Checkpoint("run", 1, record.encode())
    await target.take_over(checkpoint)
    await target.import_leases([(LEASE, 1, 1)], checkpoint)
    kv = kv_pb2.KeyValue(key=b"k", value=b"v", create_revision=3, mod_revision=3, version=1, lease=LEASE)
    await target.import_base([kv.SerializeToString()], BASE, checkpoint)
    await target.close()


@pytest.fixture(scope="module")
def urls(tikv: Playground, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An unfinished copy of each kind."""
    place = tmp_path_factory.mktemp("unfinished")  # the tests of a file may come to a worker in two parts
    found = {"file": f"file://{place}/store", "tikv": tikv.url(place.name)}
    for url in found.values():
        asyncio.run(leave(url, Phase.COPYING))
    return found


async def left(url: str) -> tuple[int, Checkpoint | None, list[int]]:
    """What the store holds."""
    target = await open_replica(url)
    try:
        checkpoint = await target.checkpoint()
        return target.revision, checkpoint, sorted(await target.leases())
    finally:
        await target.close()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_not_written(kind: str, urls: dict[str, str]) -> None:
    url = urls[kind]
    before = asyncio.run(left(url))
    for argv in CHANGES:
        done = brainctl("--store", url, *argv, stdin="\nput a b\n\n\n")
        assert done.returncode != 0, argv
        assert f"{url} is not written, because a migration from cluster c1 {HOW_FAR}" in done.stderr, (
            argv,
            done.stderr,
        )
        assert "--even-unfinished" in done.stderr
        assert argv[0] != "put" or done.returncode == ExitCode.INVALID_INPUT
    assert asyncio.run(left(url)) == before, "no lease ran out either"


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_with_a_warning(kind: str, urls: dict[str, str], tmp_path: Path) -> None:
    url = urls[kind]
    before = asyncio.run(left(url))
    for argv in [*READS, *(FILE_READS if kind == "file" else [])]:
        words = [word.format(url=url, tmp=tmp_path, dir=url.removeprefix("file://")) for word in argv]
        done = brainctl("--store", url, *words)
        assert done.returncode == 0, (argv, done.stderr)
        assert "is an unfinished copy: a migration from cluster c1 " + HOW_FAR in done.stderr, (argv, done.stderr)
    assert asyncio.run(left(url)) == before


def test_a_backup_beside_a_server_is_made_with_a_warning(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    asyncio.run(leave(url, Phase.COPYING))
    with Brainctl(tmp_path / "server", "--even-unfinished", store=url):
        done = brainctl("--store", url, "snapshot", "save", "--link", str(tmp_path / "links"))
    assert (done.returncode, HOW_FAR in done.stderr) == (0, True), done.stderr


def test_a_backup_of_a_finished_copy_is_read_without_a_warning(tmp_path: Path) -> None:
    """The control of the table."""
    url, links = f"file://{tmp_path}/store", str(tmp_path / "links")
    asyncio.run(leave(url, Phase.COMMITTED))
    for argv in [
        ("snapshot", "save", "--link", links),
        ("snapshot", "status", links),
        ("verify", "--from", url, "--to", f"file://{links}"),
        ("store", "dump", f"{tmp_path}/store"),
    ]:
        done = brainctl("--store", url, *argv)
        assert (done.returncode, "unfinished" in done.stderr) == (0, False), (argv, done.stderr)


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_reads_it_with_a_warning_and_does_not_write_it(
    kind: str, urls: dict[str, str], tmp_path: Path
) -> None:
    url = urls[kind]
    before = asyncio.run(left(url))

    async def use() -> None:
        with pytest.warns(UserWarning, match=HOW_FAR):
            store = await open_store(url)
        try:
            assert (await store.range(rpc_pb2.RangeRequest(key=b"k"))).count == 1
            with pytest.raises(InvalidInput, match=HOW_FAR):
                await store.put(rpc_pb2.PutRequest(key=b"k"))
        finally:
            await store.close()
        await leave(f"file://{tmp_path}/other", Phase.COPYING)
        with pytest.warns(UserWarning, match=HOW_FAR):
            assert (await Verifier(url, f"file://{tmp_path}/other").run()).equal
        with pytest.raises(InvalidInput, match="is not copied, because"):
            await Migrator(url, f"file://{tmp_path}/target").run()
        store = await open_store(url, clock=ManualClock(), admission=Admission(allowed=True, warn=lambda _: None))
        await store.close()

    asyncio.run(use())
    assert asyncio.run(left(url)) == before


LOOKS = {
    "commands/migrate/overwriting.py": "asks before the store is overwritten, whatever is in it",
    "commands/migrate/status.py": "shows the record",
    "commands/store/command.py": "`store info` shows the record",
    "migrate/planner.py": "reads the record of the target and says what it means",
    "migrate/migrator.py": "goes on where the record ends",
}
"""Modules that read the record themselves, or are about another store than a user's."""


def test_whatever_opens_a_store_asks_for_its_record() -> None:
    """By the text of the modules: who reads the files of a store has an Admission in hand."""
    opens = re.compile(
        r"\b(read_info|open_directory|open_replica|open_node|Engine\.open|restore_backup|show_backup|open_backend)\b"
        r"|engine\.offline\.(check|dump|repair)\b|hard_links import save\b"
    )
    package = Path(main.__file__).parent.parent
    found = {
        str(path.relative_to(package)): "admission" in text
        for folder in ("commands", "client", "output", "check", "flash", "migrate", "verify", "server")
        for path in (package / folder).rglob("*.py")
        if opens.search(text := path.read_text())
    }
    assert sorted(name for name, asks in found.items() if not asks and name not in LOOKS) == []
    assert LOOKS.keys() <= found.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_store_is_made_of_it(kind: str, urls: dict[str, str], tmp_path: Path) -> None:
    for argv in COPIES:
        done = brainctl("--store", urls[kind], *(word.format(url=urls[kind], tmp=tmp_path) for word in argv))
        assert done.returncode == ExitCode.INVALID_INPUT, (argv, done.stderr)
        assert f"{urls[kind]} is not copied, because a migration from cluster c1 {HOW_FAR}" in done.stderr
        assert "--even-unfinished" in done.stderr
        assert not list(tmp_path.iterdir()), "no target was begun"


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_not_saved_as_if_it_were_whole(kind: str, urls: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "snapshot"
    refused = brainctl("--store", urls[kind], "snapshot", "save", str(file))
    assert refused.returncode == ExitCode.INVALID_INPUT
    assert f"{urls[kind]} is not saved, because a migration from cluster c1 {HOW_FAR}" in refused.stderr
    assert not list(tmp_path.iterdir())
    saved = brainctl("--store", urls[kind], "snapshot", "save", str(file), "--even-unfinished")
    assert (saved.returncode, file.exists()) == (0, True), saved.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_shown(kind: str, urls: dict[str, str]) -> None:
    info = json.loads(brainctl("store", "info", urls[kind], "-w", "json").stdout)
    assert {name: value for name, value in info.items() if name.startswith("migration")} == {
        "migration": "copying",
        "migration_source": "c1",
        "migration_base": str(BASE),
        "migration_watermark": str(BASE),
        "migration_keys": "1 of 10",
    }


@pytest.mark.parametrize(
    ("kind", "phase"),
    [*((kind, phase) for kind in KINDS for phase in (Phase.COPYING, Phase.CATCHING_UP)), ("file", Phase.DRAINING)],
)
def test_it_is_not_served(kind: str, phase: Phase, tikv: Playground, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store" if kind == "file" else tikv.url(f"unserved-{phase}")
    asyncio.run(leave(url, phase))
    before = asyncio.run(left(url))
    done = brainctl("serve", "--store", url, "--listen", "127.0.0.1:0")
    assert done.returncode == ExitCode.INVALID_INPUT
    assert f"{url} is not served, because a migration from cluster c1" in done.stderr
    assert "the same `brainctl migrate` goes on" in done.stderr
    assert asyncio.run(left(url)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_served_and_written_on_demand(kind: str, tikv: Playground, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store" if kind == "file" else tikv.url("on-demand")
    asyncio.run(leave(url, Phase.COPYING))
    assert brainctl("put", "a", "1", "--store", url, "--even-unfinished").returncode == 0
    with Brainctl(tmp_path / "server", "--even-unfinished", store=url) as server:
        assert etcdctl(server.endpoint, "put", "b", "2").stdout == "OK\n"
        assert server.child is not None
        assert HOW_FAR in server.child.output()
        assert brainctl("get", "b", "--store", url).stdout == "b\n2\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_is_finished_is_a_store(kind: str, new_etcd: NewEtcd, tikv: Playground, tmp_path: Path) -> None:
    source = new_etcd()
    etcdctl(source.endpoint, "put", "k", "v")
    url = f"file://{tmp_path}/store" if kind == "file" else tikv.url("finished")
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", url)
    assert brainctl("migrate", *arguments).returncode == 0
    with Brainctl(tmp_path / "server", store=url) as server:
        assert server.child is not None
        assert "was synced at revision 2, and not cut over" in server.child.output()
        assert etcdctl(server.endpoint, "get", "k").stdout == "k\nv\n"
    done = brainctl("put", "k", "w", "--store", url)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_migration_that_runs_is_not_fenced_by_a_server(new_etcd: NewEtcd, tikv_url: str) -> None:
    source = new_etcd()
    etcdctl(source.endpoint, "put", "k", "v")
    process = subprocess.Popen(
        [*brainctl_argv(), "migrate", "--from", f"etcd://{source.endpoint}", "--to", tikv_url, "--follow"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    )
    try:
        until(process, "phase", "synced")
        done = brainctl("serve", "--store", tikv_url, "--listen", "127.0.0.1:0")
        assert done.returncode == ExitCode.INVALID_INPUT
        assert f"{tikv_url} is not served, because " in done.stderr
        etcdctl(source.endpoint, "put", "k", "w")
        until(process, "watermark", "3")
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, "it was not fenced"
    finally:
        process.kill()
        process.communicate()
    checkpoint = asyncio.run(left(tikv_url))[1]
    assert checkpoint is not None
    assert Record.decode(checkpoint.state).phase is Phase.SYNCED


def until(process: "subprocess.Popen[str]", field: str, value: str) -> None:
    """Read the progress of a migration up to a line with a value."""
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line).get(field) == value:
            return
    raise AssertionError("it has ended")


def test_every_phase_has_its_words() -> None:
    assert {COMMITTED, SYNCED} < set(Phase)
    for phase in Phase:
        assert "does not know" not in str(Standing(phase, 1, 2, 3, 4, 5))
    assert Standing.of(b"broken") is not None
    assert Standing.of(None) is None


def test_every_other_call_than_a_read_is_a_change() -> None:
    """By their names: what is added to the API later is a change until it is known to be none."""
    verbs = "Put Delete Compact Revoke Grant KeepAlive Add Remove Update Promote Change Enable Disable Move Downgrade"
    for service in rpc_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            if any(verb in method.name for verb in verbs.split()):
                assert changes(f"/{service.full_name}/{method.name}", rpc_pb2.PutRequest()), method.name
    assert changes("/v3lockpb.Lock/Lock", rpc_pb2.PutRequest())
    assert not changes("/etcdserverpb.KV/Range", rpc_pb2.RangeRequest())
    get = rpc_pb2.TxnRequest(success=[rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=b"k"))])
    put = rpc_pb2.TxnRequest(failure=[rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"k"))])
    assert [changes("/etcdserverpb.KV/Txn", request) for request in (get, put)] == [False, True]
    alarms = [rpc_pb2.AlarmRequest(action=action) for action in rpc_pb2.AlarmRequest.AlarmAction.values()]
    assert [changes("/etcdserverpb.Maintenance/Alarm", alarm) for alarm in alarms] == [False, True, True]
