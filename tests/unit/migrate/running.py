"""The driver on a real source and a target model, in this process."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from brainctl.clock import SystemClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.cutover import Freezer
from brainctl.migrate.etcd_source.source import StoreSource
from brainctl.migrate.machine.record import History
from brainctl.migrate.machine.state import Goal, Migration
from brainctl.migrate.progress import Figures
from brainctl.migrate.retry import Sides, Waiting
from brainctl.migrate.runner import Runner
from brainctl.migrate.takeover import prepare
from brainctl.migrate.target import StoreTarget
from brainctl.migrate.target_handle import TargetHandle
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.store import Store
from brainctl.verify.difference import Difference
from tests.unit.migrate.model import TargetModel


class Watched:
    """An observer that tests wait on."""

    def __init__(self) -> None:
        self.figures: list[Figures] = []
        self.waits: list[Waiting] = []
        self.warnings: list[str] = []
        self.differences: list[Difference] = []
        self._changed = asyncio.Event()

    def progress(self, figures: Figures) -> None:
        self.figures.append(figures)
        self._changed.set()

    def waiting(self, what: Waiting) -> None:
        self.waits.append(what)
        self._changed.set()

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def differs(self, found: Difference) -> None:
        self.differences.append(found)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def etcd_store(endpoint: str) -> EtcdStore:
    return EtcdStore(EtcdTarget((endpoint,)))


async def no_comparison(_revision: int) -> int:
    raise AssertionError("nothing is to be compared")


async def start(
    store: Store,
    target: TargetModel,
    goal: Goal = Goal.SYNCED,
    *,
    history: History = History.ALL,
    compare: Callable[[int], Awaitable[int]] = no_comparison,
    hooks: tuple[str, str] = ("", ""),
    overwrite: bool = False,
) -> tuple[Runner, Watched]:
    """What the command does, up to the point where it runs."""
    clock, watched = SystemClock(), Watched()
    source = StoreSource(store, clock)
    plan = await prepare(source, StoreTarget(target), history, Random(), overwrite=overwrite)
    migration = Migration(plan.record, await target.leases(), goal, clean=plan.clean, hook=hooks[0])
    sides = Sides.of("source", "target", clock, 30.0, watched.waiting)
    freezer = Freezer(lambda: sides.source.call(source.revision), clock, *hooks, 5.0)

    async def reopen() -> StoreTarget:
        return StoreTarget(target)

    slot = TargetHandle(await reopen(), reopen, plan.run, plan.epoch)
    return Runner(migration, source, slot, freezer, compare, watched, clock, sides), watched


async def fill(store: Store, count: int, prefix: bytes = b"/k/") -> None:
    """Put `count` keys, a hundred in a transaction."""
    for first in range(0, count, 100):
        puts = [pb.PutRequest(key=prefix + b"%06d" % n, value=b"v%d" % n) for n in range(first, first + 100)]
        await store.txn(pb.TxnRequest(success=[pb.RequestOp(request_put=put) for put in puts]))


async def contents(store: Store, revision: int) -> dict[bytes, bytes]:
    """All keys of a store at a revision."""
    response = await store.range(pb.RangeRequest(key=b"\0", range_end=b"\0", revision=revision))
    return {kv.key: kv.SerializeToString() for kv in response.kvs}
