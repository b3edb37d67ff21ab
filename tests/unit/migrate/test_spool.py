"""Changes that wait for the target: in order, however many, and the stream is read meanwhile."""

import asyncio
import resource
from collections.abc import AsyncGenerator
from random import Random

import pytest

from brainctl.clock import SystemClock
from brainctl.migrate.fixed_source import FixedSource
from brainctl.migrate.follower import Follower
from brainctl.migrate.machine.event_buffer import FULL_BYTES
from brainctl.migrate.machine.events import Event, RevisionRead, SourceCompacted, Streamed, Watch
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import History, Record
from brainctl.migrate.machine.state import Goal, Migration
from brainctl.migrate.machine.witness import Witness
from brainctl.migrate.retry import Sides
from brainctl.migrate.spool import MEMORY_BYTES, Spool
from tests.unit.migrate.running import Watched


def revision(number: int, random: Random) -> RevisionRead:
    events = [random.randbytes(random.randrange(1, 40)) for _ in range(random.randrange(1, 4))]
    leases = frozenset(random.randrange(-(2**63), 2**63) for _ in range(random.randrange(3)))
    return RevisionRead(number, events, sum(map(len, events)), leases)


@pytest.mark.parametrize("seed", range(30))
def test_revisions_come_out_as_they_went_in(seed: int) -> None:
    """Whatever fits the memory, the file, or neither."""
    random = Random(seed)
    spool = Spool(memory=random.choice([0, 50, 1000]), most=random.choice([0, 200, 10_000]))
    entered: list[RevisionRead] = []
    left: list[RevisionRead] = []
    for _ in range(200):
        if random.random() < 0.5:
            more = [revision(len(entered) + at, random) for at in range(random.randrange(4))]
            entered += more
            spool.put(more)
        else:
            left += spool.take(random.randrange(1, 200))
        assert spool.empty == (len(left) == len(entered))
    while not spool.empty:
        left += spool.take(100)
    assert left == entered
    assert not spool.full
    assert spool.take(100) == []
    spool.clear()


def test_a_file_without_room_makes_the_stream_wait() -> None:
    random = Random(1)
    reads = [revision(number, random) for number in range(100)]
    spool = Spool(memory=10, most=1 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))  # Python ignores SIGXFSZ: a write fails with EFBIG
    try:
        spool.put(reads)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spool.full
    taken = []
    while not spool.empty:
        taken += spool.take(1)
    assert taken == reads
    assert not spool.full
    spool.clear()


def test_what_is_cleared_does_not_come() -> None:
    spool = Spool(memory=10)
    spool.put([revision(number, Random(number)) for number in range(50)])
    spool.clear()
    assert spool.empty
    later = [revision(number, Random(number)) for number in range(50, 60)]
    spool.put(later)
    assert spool.take(1 << 20) == later
    spool.clear()


class Flood(FixedSource):
    """A source whose stream has more than the state machine and the memory take."""

    count = (FULL_BYTES + MEMORY_BYTES) // (1 << 20) + 20

    def __init__(self) -> None:
        self.read = asyncio.Event()

    async def changes(self, attempt: int, after: Witness) -> AsyncGenerator[Streamed | SourceCompacted, None]:
        yield Streamed(attempt, [])
        event = b"e" * (1 << 20)
        for number in range(after.revision + 1, after.revision + 1 + self.count):
            yield Streamed(attempt, [RevisionRead(number, [event], len(event), frozenset())])
        self.read.set()
        await asyncio.Event().wait()


def test_the_stream_is_read_while_the_target_takes_nothing() -> None:
    """What is read cannot be lost to a compaction of the source."""

    async def story() -> None:
        record = Record(Phase.CATCHING_UP, 7, History.ALL, 1, 1)
        migration = Migration(record, [], Goal.FOLLOW, clean=True)
        inbox: asyncio.Queue[Event | Exception] = asyncio.Queue()
        source = Flood()
        follower = Follower(source, migration, inbox)
        (watch,) = migration.begin()
        assert isinstance(watch, Watch)
        follower.begin(watch)
        sides = Sides.of("source", "target", SystemClock(), 30.0, Watched().waiting)
        tasks = [
            asyncio.ensure_future(follower.run(sides.source.patience())),
            asyncio.ensure_future(follower.pass_on()),
        ]

        async def take() -> None:
            event = await inbox.get()
            assert isinstance(event, Streamed)
            migration.handle(event)
            if not migration.full:
                follower.room()

        async with asyncio.timeout(60):
            while not migration.full:  # its first write is never done
                await take()
            await source.read.wait()
            while not inbox.empty():
                await take()
            assert migration.received < 1 + source.count - 20
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        follower.close()

    asyncio.run(story())
