"""A whole server in one thread: the real node, backend and engine, over files, time and threads that are simulated.

A world does one random thing after the other: requests, reads, watches, time that passes, wall clocks that jump,
compaction, defragmentation, errors of the file system, restarts, kills and power cuts at any point, also in the middle
of a write or of an opening. Every answer, event and state found after a crash is held against the model.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from brainctl.clock import ManualClock
from brainctl.engine.engine import Engine, EngineOptions
from brainctl.errors import COMPACTED, FUTURE_REVISION, BrainctlError, StoreFailed, StoreFull
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.deafness import BEAT_SECONDS
from brainctl.node.node import Node
from tests.faults.crash.test_faults import KINDS
from tests.faults.simulation.checks import find_state
from tests.faults.simulation.journal import Journal, RecordedBackend
from tests.faults.simulation.loop import SimulatedLoop, simulated_writer
from tests.faults.simulation.requests import ENDS, KEYS, LEASES, Requests
from tests.faults.simulation.watcher import Watcher
from tests.support.faulty_fs import FaultyFileSystem
from tests.support.memory_fs import MemoryFileSystem

DIRECTORY = "/d"
EIO, ENOSPC = 5, 28
LATE_SECONDS = 2.0
"""A lease is gone so long after it expired, at the latest."""
PATHS = {
    "PutRequest": "/etcdserverpb.KV/Put",
    "DeleteRangeRequest": "/etcdserverpb.KV/DeleteRange",
    "TxnRequest": "/etcdserverpb.KV/Txn",
    "CompactionRequest": "/etcdserverpb.KV/Compact",
    "LeaseGrantRequest": "/etcdserverpb.Lease/LeaseGrant",
    "LeaseRevokeRequest": "/etcdserverpb.Lease/LeaseRevoke",
}


class JumpingClock(ManualClock):
    """A clock whose wall time is set to and fro."""

    def __init__(self) -> None:
        super().__init__(1000.0)
        self.wrong = 0.0

    def wall(self) -> float:
        return self.now + self.wrong


class Unheard:
    """Replies that the journal alone hears."""

    def one(self, place: int, answer: bytes | BrainctlError) -> None:
        """As in Replies."""

    def all(self, answers: list[bytes]) -> None:
        """As in Replies."""


class World:
    """One simulated server and its clients."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.clock = JumpingClock()
        self.journal = Journal()
        self.journal.on_revoke = self._revoking
        self.journal.expires = lambda lease: not self.asked[lease]
        self.requests = Requests(self.rng)
        self.memory = MemoryFileSystem()
        self.files = FaultyFileSystem(self.memory)
        self.watchers: list[Watcher] = []
        self.renewed: dict[int, float] = {}
        """When each lease was given its TTL, at the earliest."""
        self.due: dict[int, float] = {}
        """When each lease must have been revoked."""
        self.asked: Counter[int] = Counter()
        """Revokes that clients asked for and that were not evaluated yet."""
        self.image: MemoryFileSystem | None = None
        """What a power cut has left, once there was one."""
        self.done: Counter[str] = Counter()
        self.open()

    # -- opening and ending -------------------------------------------------------------------------------------

    def options(self) -> EngineOptions:
        choice = self.rng.choice
        return EngineOptions(
            segment_size=choice((8 << 10, 16 << 10, 32 << 10)),
            zero_ahead=choice((0, 1024, 8192)),
            alignment=choice((512, 512, 4096)),
            garbage_ratio=choice((0.2, 0.5)),
            run_records=choice((5, 30, 100)),
            quiet_records=choice((5, 20)),
            cache_bytes=choice((0, 4096, 1 << 20)),
            clock=self.clock,
        )

    def open(self) -> None:
        """Start a server on the files that there are, and find out what it has."""
        self.loop = SimulatedLoop(self.clock, self.rng)
        self.image = None
        with self.loop.running(), simulated_writer(self.loop, self.rng):
            engine = Engine.open(DIRECTORY, self.files, self.options(), self.rng)
            count = find_state(engine, self.journal.model, self.journal.acknowledged)
            found = engine.view.revision
            assert found >= self.journal.shown, f"revision {self.journal.shown} was shown, {found} is there"
            self.journal.roll_back(count)
            self.backend = RecordedBackend(engine, self.loop, self.journal, self.rng.choice((0, 1 << 14, 64 << 20)))
            self.journal.stopped = False
            self.node = Node(self.backend, self.clock)
            now = self.clock.now
            self.renewed = dict.fromkeys(self.journal.model.leases, now)
            self.due = {lease: now + ttl for lease, ttl in self.journal.model.leases.items()}
            self.asked.clear()
            for watcher in self.watchers:
                watcher.connect(self.node)

    def reopen(self) -> None:
        """Open until it works; errors that were planned may still come."""
        self.loop.abandon()
        for _ in range(10):
            try:
                self.open()
            except (StoreFailed, StoreFull):
                self.done["failed openings"] += 1
                self.become(self.memory.clone())
            else:
                return
        raise AssertionError("the store does not open")

    def become(self, memory: MemoryFileSystem) -> None:
        """The machine has these files from now on."""
        self.memory = memory
        self.files = FaultyFileSystem(memory)

    def cut_power(self) -> None:
        """Now, or at the nth sync from now on."""
        left = self.rng.choice((0, 1, 2, 5, 20))

        def at_sync() -> None:
            nonlocal left
            left -= 1
            if left < 0 and self.image is None:
                self.image = self.memory.crash_clone(self.rng)
                self.journal.stopped = True

        self.memory.before_sync = at_sync
        if left:
            self.write(6)
            self.pass_time(self.rng.choice((0.05, 1.0)))
        if self.image is None:
            self.image = self.memory.crash_clone(self.rng)
            self.journal.stopped = True
        self.memory.before_sync = lambda: None
        self.become(self.image)
        if self.rng.random() < 0.3:
            self._cut_again()
        self.reopen()

    def _cut_again(self) -> None:
        """Power goes in the middle of the opening, too."""
        images: list[MemoryFileSystem] = []
        self.memory.before_sync = lambda: images.append(self.memory.crash_clone(self.rng))
        Engine.open(DIRECTORY, self.memory, self.options(), self.rng).close()
        self.memory.before_sync = lambda: None
        if images:
            self.done["power cuts of openings"] += 1
            self.become(self.rng.choice(images))
        else:
            self.become(self.memory.clone())

    def kill(self) -> None:
        """The process is gone, what it wrote is not."""
        self.journal.stopped = True
        self.become(self.memory.clone())
        self.reopen()

    def stop(self) -> None:
        """An orderly end: everything that was asked is answered."""
        self.settle()
        with self.loop.running():
            task = self.loop.create_task(self.node.close())
            while not task.done():
                assert self.loop.step(self.clock.now + 60), "the node does not close"
        assert self.journal.acknowledged == len(self.journal.requests) or self.backend.failure
        self.become(self.memory.crash_clone(self.rng))
        self.reopen()

    def fail(self) -> None:
        """A call of the file system fails once, soon."""
        kind, error = self.rng.choice(KINDS), self.rng.choice((EIO, ENOSPC, 0))
        self.files.fail(kind, self.rng.choice((1, 2, 5)), error if kind == "write" else error or EIO)

    # -- what clients do ----------------------------------------------------------------------------------------

    def call(self, name: str, request: Any, reply: Callable[[bytes | BrainctlError], None]) -> None:
        with self.loop.running():
            self.node.call(name, request.SerializeToString(), reply)

    def write(self, most: int = 4) -> None:
        for _ in range(self.rng.randrange(1, most + 1)):
            request = self.requests.write(self.journal.model)
            if isinstance(request, pb.LeaseRevokeRequest):
                self.asked[request.ID] += 1
            elif isinstance(request, pb.LeaseGrantRequest) and request.ID not in self.journal.model.leases:
                self.renewed[request.ID] = self.clock.now
                self.due.pop(request.ID, None)
            granted = request.ID if isinstance(request, pb.LeaseGrantRequest) else 0
            self.call(PATHS[type(request).__name__], request, lambda answer, lease=granted: self._wrote(lease, answer))

    def puts(self) -> None:
        """Several puts that came together."""
        requests = [self.requests.put(self.journal.model) for _ in range(self.rng.randrange(1, 6))]
        with self.loop.running():
            self.node.puts([request.SerializeToString() for request in requests], Unheard())

    def _wrote(self, lease: int, answer: bytes | BrainctlError) -> None:
        if lease and isinstance(answer, bytes):
            self.due[lease] = self.clock.now + self.journal.model.leases.get(lease, 0)

    def read(self) -> None:
        """A range at some revision: exactly what was there, and nothing that a crash could take back."""
        model, acknowledged = self.journal.model, self.journal.acknowledged
        start, end = self.requests.span()
        wanted = self.rng.choice((0, 0, model.compacted, model.revision, model.revision - self.rng.randrange(20)))
        request = pb.RangeRequest(key=start, range_end=end, revision=max(0, wanted), limit=self.rng.choice((0, 0, 2)))
        answers: list[bytes | BrainctlError] = []
        self.call("/etcdserverpb.KV/Range", request, answers.append)
        if not answers:  # megabytes of values are read in slices: tests/unit/node/test_slices.py has what they must be
            self.done["long reads"] += 1
            return
        (answer,) = answers
        if isinstance(answer, BrainctlError):
            refused = {COMPACTED.message: request.revision < model.compacted}
            refused[FUTURE_REVISION.message] = request.revision > model.marks[acknowledged].revision
            assert refused.get(str(answer)), f"revision {request.revision} was refused: {answer}"
            return
        assert not request.revision or request.revision >= model.marks[acknowledged].compacted, "compacted"
        got = pb.RangeResponse.FromString(answer)
        self.journal.shown = max(self.journal.shown, got.header.revision)
        assert model.marks[acknowledged].revision <= got.header.revision <= model.revision
        found = model.range(start, end, request.revision or got.header.revision)
        assert got.count == len(found)
        assert list(got.kvs) == [version.kv() for version in found[: request.limit or None]]

    def keep_alive(self) -> None:
        lease, now = self.rng.choice(LEASES), self.clock.now
        model, acknowledged = self.journal.model, self.journal.acknowledged

        def answered(answer: bytes | BrainctlError) -> None:
            if isinstance(answer, BrainctlError) or self.journal.stopped:
                return
            ttl = pb.LeaseKeepAliveResponse.FromString(answer).TTL
            if ttl:
                held = [dict(mark.leases).get(lease) for mark in model.marks[acknowledged:]]
                assert ttl in held, "a lease that is gone was kept alive"
                if lease in model.leases:
                    self.renewed[lease] = max(self.renewed.get(lease, 0), now)
                    self.due[lease] = now + ttl

        with self.loop.running():
            self.node.keep_alive(pb.LeaseKeepAliveRequest(ID=lease).SerializeToString(), answered)

    def _revoking(self, lease: int) -> None:
        """A lease is revoked: because a client asked, or because its time is over."""
        if self.asked[lease]:
            self.asked[lease] -= 1
        elif lease in self.journal.model.leases:
            early = self.renewed[lease] + self.journal.model.leases[lease] - self.clock.now
            if early > 1e-6:
                self.journal.complaints.append(f"lease {lease} was revoked {early:.3f} s before its time")
            self.done["expired leases"] += 1
        self.due.pop(lease, None)

    def watch(self) -> None:
        choice = self.rng.random()
        if len(self.watchers) < 6:
            start = max(0, self.journal.model.revision - self.rng.choice((10, 100, 1 << 40)))
            key, end = self.rng.choice(KEYS), self.rng.choice(ENDS)
            self.watchers.append(Watcher(self.journal, key, end if end == b"\0" or end > key else b"", start))
            with self.loop.running():
                self.watchers[-1].connect(self.node)
            return
        watcher = self.rng.choice(self.watchers)
        with self.loop.running():
            if watcher.paused:
                watcher.resume()
            elif choice < 0.5:
                watcher.pause()
            elif choice < 0.8:
                watcher.disconnect()
                watcher.connect(self.node)
            else:
                watcher.disconnect()
                self.watchers.remove(watcher)

    def defragment(self) -> None:
        self.call("/etcdserverpb.Maintenance/Defragment", pb.DefragmentRequest(), lambda _: None)

    # -- time ---------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        until = self.clock.now + seconds
        with self.loop.running():
            while self.image is None and self.loop.step(until):
                pass
        if self.image is None:
            self.clock.now = max(self.clock.now, until)

    def settle(self) -> None:
        """Let everything come to rest: then every answer, event and revoke has come."""
        with self.loop.running():
            for watcher in self.watchers:
                watcher.resume()
        self.pass_time(3.0)
        for _ in range(20):  # a lease may just have expired
            if self.journal.acknowledged < len(self.journal.requests):
                self.pass_time(0.05)
        stages = self.backend.stages
        for durations in stages.durations.values():
            assert sum(durations.counts) == stages.groups.seconds, "a stage has other writes than the groups"
        if self.backend.failure is not None:
            return
        assert self.journal.acknowledged == len(self.journal.requests), "requests without an answer"
        for watcher in self.watchers:
            assert not watcher.missing(self.backend.revision), "events are missing"

    def jump(self) -> None:
        """The wall clock is set, or the whole process sleeps."""
        if self.rng.random() < 0.7:
            self.clock.wrong = self.rng.choice((0.0, 3600.0, -3600.0, 86_400.0, -86_400.0))
        else:
            self.clock.now += 30.0
            # Nobody could keep a lease alive meanwhile; the process notices it to a beat.
            self.due = {lease: due + 30.0 for lease, due in self.due.items()}
            self.renewed = {lease: at + 30.0 - 2 * BEAT_SECONDS for lease, at in self.renewed.items()}

    def check_leases(self) -> None:
        """No lease outlives its time by much."""
        if self.backend.failure is None:
            for lease, due in self.due.items():
                late = self.clock.now - due
                assert lease not in self.journal.model.leases or late <= LATE_SECONDS, (
                    f"lease {lease}, {late:.1f} s late"
                )

    # -- the run ------------------------------------------------------------------------------------------------

    ACTIONS = (
        ("write", 35),
        ("puts", 10),
        ("read", 20),
        ("pass", 20),
        ("watch", 5),
        ("keep_alive", 5),
        ("jump", 1),
        ("defragment", 1),
        ("settle", 2),
        ("fail", 2),
        ("kill", 1),
        ("stop", 1),
        ("cut_power", 2),
    )

    def step(self) -> str:
        """One random thing; what it was. AssertionError when anything is not as it must be."""
        (kind,) = self.rng.choices([name for name, _ in self.ACTIONS], [weight for _, weight in self.ACTIONS])
        self.done[kind] += 1
        if kind == "pass":
            self.pass_time(self.rng.choice((0.001, 0.01, 0.03, 0.1, 1.0)))
        else:
            getattr(self, kind)()
        if self.backend.failure is not None and kind != "fail" and self.rng.random() < 0.5:
            self.done["failures"] += 1
            self.rng.choice((self.kill, self.cut_power))()
        self.check_leases()
        assert not self.journal.complaints, self.journal.complaints[0]
        assert not self.loop.errors, self.loop.errors[0]
        return kind


def run(seed: int, steps: int) -> World:
    """A world after so many steps; AssertionError with seed and step when something was not as it must be."""
    world = World(seed)
    try:
        for _ in range(steps):
            world.step()
        world.settle()
    except Exception as error:
        number = sum(world.done[kind] for kind, _ in world.ACTIONS)
        again = f"python -m tests.faults.simulation --seed {seed} --steps {number}"
        raise AssertionError(f"seed {seed}, step {number}: {type(error).__name__}: {error}\n{again}") from error
    finally:
        world.loop.abandon()
    return world
