"""Keep the state of a store that a process has shown: the one that its replies and watches are about."""

import asyncio
from collections.abc import Callable
from functools import partial

from brainctl.mvcc.commit import Commit
from brainctl.mvcc.steps import Steps, in_turns
from brainctl.mvcc.weight import LARGE_CHANGES
from brainctl.tikv.log_follower import commits_since, is_whole, read_records
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Head


class PublishedState:
    """The newest durable head and small records, and the observers that receive each commit once."""

    def __init__(self) -> None:
        self.head = Head()
        self.records: dict[bytes, bytes] = {}
        self._observers: list[tuple[Callable[[Commit], None], Callable[[Commit], Steps[None]] | None]] = []
        self.on_hole: Callable[[int | None], None] = _nothing
        """Called with None before commits of which some may be missing, and after them with the last revision."""

    async def load(self, state: StateView) -> None:
        """Begin with a state; observers receive nothing from before it.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        self.records = await read_records(state)
        self.head = state.head

    def subscribe(
        self, observer: Callable[[Commit], None], steps: Callable[[Commit], Steps[None]] | None = None
    ) -> None:
        """Pass each later commit to an observer, or, when it is large, to what does the work of one in steps."""
        self._observers.append((observer, steps))

    async def show(self, commit: Commit, head: Head) -> None:
        """Take in a commit that is durable, and pass it to the observers, one commit after the other.

        The event loop serves others only while a large commit is shown. The caller makes one call at a time.
        """
        self.head = head
        for name, value in commit.meta.items():
            if value is None:
                self.records.pop(name, None)
            else:
                self.records[name] = value
        large = len(commit.changes) > LARGE_CHANGES
        for observer, steps in self._observers:
            if large and steps is not None:
                await in_turns(steps(commit), partial(asyncio.sleep, 0))
            else:
                observer(commit)

    async def catch_up(self, state: StateView) -> None:
        """Take in, commit by commit, what other processes wrote up to a state of the store.

        After a failure the next call continues after the last commit that was shown. Where a compaction removed changes
        that were not shown yet, the first commit says so (`Commit.missed`).

        Raises:
            TikvFailed: TiKV does not answer.
            StoreDamaged: a value in the log is not a block.
        """
        known = self.head
        if state.head.sequence <= known.sequence:
            return
        # A compaction may have removed what was written since.
        holes = state.compacted > known.revision
        missed = known.revision + 1 if holes and not await is_whole(known.revision, state) else 0
        if holes:
            self.on_hole(None)
        try:
            async for commit in commits_since(known, state, self.records):
                if missed:
                    commit.missed, commit.compact, missed = missed, state.compacted, 0
                whole = commit.revision == state.revision
                await self.show(commit, state.head if whole else known._replace(revision=commit.revision))
            self.head = state.head
        finally:
            if holes:
                self.on_hole(self.head.revision)


def _nothing(_: int | None) -> None:
    """Skip a hole; stands in until `on_hole` is set."""
