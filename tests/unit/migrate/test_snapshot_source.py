"""A database file of etcd as a source: the copy has what a copy of the live etcd would have."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from brainctl.clock import ManualClock, SystemClock
from brainctl.errors import BrainctlError, InvalidInput, SnapshotDamaged, StoreInUse
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.fixed_source import FixedSource
from brainctl.migrate.machine.record import History
from brainctl.migrate.machine.state import Goal
from brainctl.migrate.migrator import MigrateOptions, Migrator
from brainctl.stores.registry import open_store
from brainctl.stores.store import Store
from brainctl.stores.watching import Watching
from brainctl.verify.compare import Comparison
from brainctl.verify.reading import StoreReader
from tests.peers.servers import Etcd, brainctl, etcdctl

COMPACTED, LEASE_TTL = 40, 5_000


class Saved(NamedTuple):
    """An etcd, and a snapshot of it."""

    server: Etcd
    file: Path

    @property
    def url(self) -> str:
        return f"snapshot://{self.file}"


def run(server: Etcd, *argv: str, stdin: str = "") -> str:
    done = etcdctl(server.endpoint, *argv, stdin=stdin)
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    """An etcd with a history that is compacted at a deletion, a transaction, leases and users; and its snapshot."""
    directory = tmp_path_factory.mktemp("etcd")
    with Etcd(directory / "etcd") as server:
        lease = run(server, "lease", "grant", str(LEASE_TTL)).split()[1]
        run(server, "put", "leased", "1", "--lease", lease)
        run(server, "put", "large", stdin="x" * 1_200_000)
        for n in range(COMPACTED - 4):
            run(server, "put", f"k{n % 10}", str(n))
        run(server, "del", "k0", "k4", "--range")
        run(server, "compaction", str(COMPACTED))
        run(server, "txn", stdin="\nput a 1\nput b 2\ndel k5\nput k1 again\n\n\n")
        run(server, "put", "late", "1", "--lease", run(server, "lease", "grant", str(LEASE_TTL)).split()[1])
        run(server, "del", "a")
        run(server, "user", "add", "anna:pw")
        run(server, "role", "add", "reader")
        file = directory / "snapshot.db"
        run(server, "snapshot", "save", str(file))
        yield Saved(server, file)


async def history(store: Store, revision: int) -> list[bytes]:
    """All that a watch from the base delivers up to a revision."""
    events: list[bytes] = []
    async with asyncio.timeout(120), Watching(store, COMPACTED + 1) as watching:
        async for response in watching:
            events += [event.SerializeToString() for event in response.events]
            if response.events and response.events[-1].kv.mod_revision == revision:
                return events
    raise AssertionError(events)


def test_a_snapshot_becomes_the_store_that_it_is_of(saved: Saved, tmp_path: Path) -> None:
    target = f"file://{tmp_path / 'target'}"

    async def story() -> None:
        report = await Migrator(saved.url, target).run()
        assert (report.phase, report.reason, report.resumed) == ("synced", "", False)
        assert (report.base_revision, report.users, report.roles, report.leases) == (COMPACTED, 1, 1, 2)
        live = await open_store(f"etcd://{saved.server.endpoint}")
        copy = await open_store(target, clock=ManualClock())
        try:
            found = await Comparison(StoreReader(live), StoreReader(copy), SystemClock()).run()
            assert (found.differences, found.revision) == ([], report.revision)
            everything = pb.RangeRequest(key=b"\0", range_end=b"\0")
            for revision in range(COMPACTED, report.revision + 1):
                everything.revision = revision
                assert (await copy.range(everything)).kvs == (await live.range(everything)).kvs, revision
            assert await history(copy, report.revision) == await history(live, report.revision)
        finally:
            await copy.close()
            await live.close()

    asyncio.run(story())


def test_a_page_has_about_a_mebibyte(saved: Saved, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The large key fills a page; with the smallest pages each key is one, and nothing is lost between them."""
    monkeypatch.setattr("brainctl.migrate.fixed_source.PAGE_BYTES", 1)
    monkeypatch.setattr("brainctl.migrate.fixed_source.REVISIONS", 1)
    target = f"file://{tmp_path / 'target'}"
    asyncio.run(Migrator(saved.url, target).run())
    done = brainctl("verify", "--from", f"etcd://{saved.server.endpoint}", "--to", target)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_command_takes_the_name_of_the_file(saved: Saved, tmp_path: Path) -> None:
    target = f"file://{tmp_path / 'target'}"
    copied = brainctl("migrate", "--from", str(saved.file), "--to", target, "--history", "none")
    assert copied.returncode == 0, copied.stderr
    live = f"etcd://{saved.server.endpoint}"
    assert brainctl("verify", "--from", live, "--to", target).returncode == 0
    for flags in (("--follow",), ("--cutover", "--writers-are-stopped")):
        refused = brainctl("migrate", "--from", str(saved.file), "--to", target, *flags)
        assert (refused.returncode, "is a file, which takes no writes" in refused.stderr) == (3, True)
    assert brainctl("verify", "--from", live, "--to", str(saved.file)).returncode == 0
    refused = brainctl("get", "k", "--store", saved.url)
    assert refused.returncode == 3
    assert "cannot be opened" in refused.stderr


def test_a_copy_goes_on_from_the_same_file_only(saved: Saved, tmp_path: Path) -> None:
    """A process that ends in the middle, and one that is given a later snapshot."""
    target, other = f"file://{tmp_path / 'target'}", tmp_path / "later.db"

    class Torn(BrainctlError):
        """The end of a process."""

    async def story() -> None:
        with pytest.MonkeyPatch.context() as patch:
            torn = Torn("it ends here")

            async def fail(*_: object) -> None:
                raise torn

            patch.setattr(FixedSource, "fetch", fail)
            with pytest.raises(Torn):
                await Migrator(saved.url, target).run()
        with Etcd(tmp_path / "etcd") as server:
            run(server, "put", "another", "1")
            run(server, "snapshot", "save", str(other))
        with pytest.raises(InvalidInput, match="belongs to a migration from cluster"):
            await Migrator(f"snapshot://{other}", target).run()
        report = await Migrator(saved.url, target).run()
        assert (report.resumed, report.phase) == (True, "synced")
        assert (await Migrator(saved.url, target, MigrateOptions(goal=Goal.SYNCED)).run()).events == report.events

    asyncio.run(story())


def test_the_file_of_a_data_directory(tmp_path: Path) -> None:
    target = f"file://{tmp_path / 'target'}"
    data = tmp_path / "etcd"
    with Etcd(data) as server:
        run(server, "put", "k", "v")
        (file,) = data.rglob("snap/db")
        with pytest.raises(StoreInUse):
            asyncio.run(Migrator(f"snapshot://{file}", target).run())
    report = asyncio.run(Migrator(f"snapshot://{file}", target, MigrateOptions(History.NONE)).run())
    assert (report.revision, report.keys) == (2, 1)


def test_what_is_no_snapshot_is_refused(saved: Saved, tmp_path: Path) -> None:
    target = f"file://{tmp_path / 'target'}"
    damaged = tmp_path / "damaged.db"
    shutil.copy(saved.file, damaged)
    with damaged.open("r+b") as file:
        file.seek(-40, 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(SnapshotDamaged, match=r"damaged\.db: the content is not what the SHA-256"):
        asyncio.run(Migrator(f"snapshot://{damaged}", target).run())
    (tmp_path / "text").write_text("no database\n" * 1_000)
    with pytest.raises(SnapshotDamaged, match="text: not a bbolt file"):
        asyncio.run(Migrator(f"snapshot://{tmp_path / 'text'}", target).run())
    with pytest.raises(InvalidInput, match="cannot read"):
        asyncio.run(Migrator(f"snapshot://{tmp_path / 'missing'}", target).run())
    assert not (tmp_path / "target").exists()
