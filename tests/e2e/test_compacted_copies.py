"""A real etcd that compacts after each page of the copy: the copy goes on where it was, and is equal at the end."""

import asyncio
from pathlib import Path

import pytest

from brainctl.clock import SystemClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.etcd_source.source import StoreSource
from brainctl.migrate.machine.events import PageCompacted, PageRead, ReadPage
from brainctl.migrate.machine.record import History
from brainctl.migrate.migrator import Migrator
from brainctl.migrate.options import MigrateOptions
from brainctl.migrate.report import MigrationReport
from brainctl.stores.store import Store
from tests.conftest import NewEtcd
from tests.peers.servers import Etcd, brainctl
from tests.unit.migrate.running import etcd_store, fill

KEYS = 1500


class CompactingSource(StoreSource):
    """After each page the source changes what is copied and what is not, and compacts all of its history."""

    pages = 0

    async def page(self, action: ReadPage) -> PageRead | PageCompacted:
        answer = await super().page(action)
        if isinstance(answer, PageRead):
            self.pages += 1
            await self._change(self.store)
        return answer

    async def _change(self, store: Store) -> None:
        for number in (self.pages, KEYS - self.pages):
            await store.put(pb.PutRequest(key=b"/k/%06d" % number, value=b"again"))
            await store.delete_range(pb.DeleteRangeRequest(key=b"/k/%06d" % (number - 700 + 20 * self.pages)))
            answer = await store.put(pb.PutRequest(key=b"/k/%06dnew" % number, value=b"new"))
        await store.compact(pb.CompactionRequest(revision=answer.header.revision))


@pytest.mark.parametrize("kind", ["file", "tikv"])
def test_a_compaction_after_each_page_restarts_nothing(
    new_etcd: NewEtcd, tikv_url: str, kind: str, tmp_path: Path
) -> None:
    target = f"file://{tmp_path / 'target'}" if kind == "file" else tikv_url

    async def copy(server: Etcd) -> tuple[MigrationReport, int]:
        store = etcd_store(server.endpoint)
        await fill(store, KEYS)
        source = CompactingSource(store, SystemClock())
        report = await Migrator(source, target, MigrateOptions(history=History.NONE)).run()
        return report, source.pages

    server = new_etcd()
    report, pages = asyncio.run(copy(server))
    assert pages > 3
    assert (report.phase, report.resyncs) == ("synced", 0)
    assert report.chosen_revision < report.base_revision
    assert report.keys <= KEYS + 2 * pages, "no page is copied twice"
    done = brainctl("verify", "--from", "etcd", "--endpoints", server.endpoint, "--to", target)
    assert done.returncode == 0, done.stdout + done.stderr
