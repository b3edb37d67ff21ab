"""A server that opens a store on TiKV while a migration begins: whichever comes first, none fences the other unseen."""

import asyncio

import pytest

from brainctl.errors import Fenced
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import History, Record
from brainctl.stores import tikv as stores
from brainctl.stores.replica_tikv import TikvReplica
from brainctl.stores.store import Checkpoint
from brainctl.stores.tikv import open_tikv_backend, open_tikv_replica
from brainctl.stores.unfinished import Admission, Unfinished
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.unit.tikv.calls import put

RECORD = Record(Phase.COPYING, 0xC1, History.ALL, base=5, watermark=5, expected=10, keys=1)
CHECKPOINT = Checkpoint("run", 1, RECORD.encode())


def admission(*, allowed: bool = False) -> Admission:
    return Admission(allowed, lambda _: None)


class Beginning:
    """A migration that begins just after a server has looked at the store, and before it takes the lead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, recorded: bool = True) -> None:
        self.looks = 0
        self.replica: TikvReplica | None = None
        look = stores._admit

        async def interleaved(backend: TikvBackend, url: str, admission: Admission) -> None:
            self.looks += 1
            await look(backend, url, admission)
            if self.replica is None:
                self.replica = await open_tikv_replica(url)
                if recorded:
                    await self.replica.take_over(CHECKPOINT)
                else:
                    await self.replica._writer.take_over()

        monkeypatch.setattr(stores, "_admit", interleaved)


@pytest.mark.parametrize("recorded", [True, False], ids=["with its record", "before its record"])
def test_a_migration_that_begins_meanwhile_is_not_fenced(
    tikv_url: str, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    async def run() -> None:
        beginning = Beginning(monkeypatch, recorded=recorded)
        with pytest.raises(Unfinished, match="is not served, because"):
            await open_tikv_backend(tikv_url, Role.LEADER, admission=admission())
        assert beginning.looks == 2
        replica = beginning.replica
        assert replica is not None
        if recorded:
            await replica.import_leases([(1, 60, 60)], CHECKPOINT)
        else:
            await replica._writer.write({b"a record": b"1"})
        await replica.close()

    asyncio.run(run())


def test_what_is_asked_for_is_served_all_the_same(tikv_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        beginning = Beginning(monkeypatch)
        backend = await open_tikv_backend(tikv_url, Role.LEADER, admission=admission(allowed=True))
        replica = beginning.replica
        assert replica is not None
        assert await put(backend, b"k") == 2
        with pytest.raises(Fenced):
            await replica.import_leases([(1, 60, 60)], CHECKPOINT)
        await replica.close()
        await backend.close()

    asyncio.run(run())


def test_a_lead_that_was_taken_and_given_back_meanwhile_is_looked_at_again(
    tikv: Playground, tikv_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process made of the store after it was admitted is admitted too before the lead is taken."""
    del tikv

    async def run() -> None:
        look = stores._admit
        looks: list[int] = []

        async def interleaved(backend: TikvBackend, url: str, admission: Admission) -> None:
            await look(backend, url, admission)
            looks.append(backend.revision)
            if len(looks) == 1:
                other = await open_tikv_backend(url, Role.LEADER)
                await put(other, b"k")
                await other.close()

        monkeypatch.setattr(stores, "_admit", interleaved)
        last = await open_tikv_backend(tikv_url, Role.LEADER, admission=admission())
        assert looks == [1, 2]
        assert await put(last, b"k") == 3
        await last.close()

    asyncio.run(run())
