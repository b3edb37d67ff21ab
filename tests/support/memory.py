"""The smallest backend: every version of every key in a dict. Slow, obviously right, forgotten at exit."""

from bisect import bisect_right
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Literal

from brainctl.errors import BrainctlError
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.ranges import read_range
from brainctl.mvcc.steps import Steps, finished
from brainctl.mvcc.view import Revision, Selection
from brainctl.node.backend import Evaluate, Observer, ObserverSteps


class MemoryView:
    """All versions, tombstones included, in the order in which they were written."""

    remote: Literal[False] = False

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = -1
        self.log: list[KeyVersion] = []
        self.keys: dict[bytes, list[KeyVersion]] = {}
        self.meta: dict[bytes, bytes] = {}

    def publish(self, commit: Commit) -> None:
        for change in commit.changes:
            self.log.append(change)
            self.keys.setdefault(change.key, []).append(change)
        for name, value in commit.meta.items():
            if value is None:
                self.meta.pop(name, None)
            else:
                self.meta[name] = value
        self.revision = commit.revision
        if commit.compact:
            self.compacted = commit.compact

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        versions = self.keys.get(key, [])
        at = len(versions) if revision <= 0 else bisect_right(versions, revision, key=lambda v: v.mod_revision)
        return versions[at - 1] if at and versions[at - 1].version else None

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        for key in sorted(self.keys):
            if start <= key and (end is None or key < end) and (found := self.get(key, revision)):
                yield found

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        found = [version.kv for version in self.versions(start, end, revision)]
        return Selection(framed(found[:limit] if limit else found), len(found))

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        return sum(1 for _ in self.versions(start, end, revision))

    def history(self, first: int, last: int) -> Iterator[Revision]:
        group: list[KeyVersion] = []
        for change in self.log:
            if first <= change.mod_revision <= last:
                if group and group[0].mod_revision != change.mod_revision:
                    yield Revision(group[0].mod_revision, group)
                    group = []
                group.append(change)
        if group:
            yield Revision(group[0].mod_revision, group)

    def stretches(self, start: bytes, end: bytes | None, revision: int) -> Iterator[list[KeyVersion]]:
        yield list(self.versions(start, end, revision))

    def select_steps(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        yield 1
        return self.select(start, end, revision, limit)

    def count_steps(self, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        yield 1
        return self.count(start, end, revision)

    def history_pieces(self, first: int, last: int) -> Iterator[list[KeyVersion]]:
        for revision in self.history(first, last):
            yield revision.changes

    def leased(self) -> None:
        """It is not known which keys have leases."""


class MemoryBackend:
    """A backend whose commits are durable at once."""

    def __init__(self) -> None:
        self.view = MemoryView()
        self.header = Header(1, 2, 3)
        self.points = self.bursts = self.steps = self.local = self.traffic = None
        self.size = self.size_in_use = 0
        self.term = 1
        self.observers: list[Callable[[Commit], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.work: list[Coroutine[Any, Any, None]] = []

    @property
    def revision(self) -> int:
        return self.view.revision

    @property
    def compacted(self) -> int:
        return self.view.compacted

    def record(self, name: bytes) -> bytes | None:
        return self.view.meta.get(name)

    def records(self, prefix: bytes) -> dict[bytes, bytes]:
        return {name: value for name, value in self.view.meta.items() if name.startswith(prefix)}

    def submit(self, evaluate: Evaluate, request: Any, reply: Callable[[Any], None]) -> None:
        batch = Batch(PendingWrites(self.view), self.record, self.header)
        try:
            answer: bytes | BrainctlError = finished(evaluate(batch, request))
        except BrainctlError as error:
            answer = error
        if not batch.empty:
            self.view.publish(batch.commit)
            for observer in self.observers:
                observer(batch.commit)
        reply(answer)

    def read(self, request: Any, reply: Callable[[Any], None]) -> None:
        self.submit(Batch.txn, request, reply)

    def range(self, request: Any, reply: Callable[[Any], None]) -> None:
        try:
            answer: bytes | BrainctlError = read_range(self.view, request, self.header(self.view.revision))
        except BrainctlError as error:
            answer = error
        reply(answer)

    def deaf_seconds(self) -> float:
        return 0.0

    def subscribe(self, observer: Observer, steps: ObserverSteps | None = None) -> None:
        del steps
        self.observers.append(observer)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.work.append(work)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        self.timers.append((seconds, action))

    async def defragment(self) -> None:
        pass

    async def close(self) -> None:
        pass
