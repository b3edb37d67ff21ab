"""`brainctl` with a bug: `python -m tests.faults.chaos.planted BUG ...`. The check of a history must find each."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from brainctl.cli.entry import main
from brainctl.mvcc.commit import Commit
from brainctl.tikv import published_state
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.state_view import StateView
from brainctl.tikv.writer import Writer

STALE_SECONDS = 1.0
EARLY_SECONDS = 0.05
LOST = 10
"""One of so many commits is lost."""


def stale_read() -> None:
    """A follower answers from a state that it read up to a second before."""
    real, known = TikvBackend._state, [(0.0, None)]

    async def state(self: TikvBackend, keys: Iterable[bytes] = ()) -> StateView:
        then, found = known[0]
        if self.leads or found is None or time.monotonic() - then > STALE_SECONDS:
            found = await real(self, keys)
            known[0] = time.monotonic(), found
        return found

    TikvBackend._state = state  # type: ignore[method-assign]


def lost_event() -> None:
    """A follower loses commits of the log, now and then."""
    real, seen = published_state.commits_since, [0]

    async def commits(*args: Any) -> AsyncIterator[Commit]:
        async for commit in real(*args):
            seen[0] += 1
            if seen[0] % LOST == 0:
                commit.changes.clear()
                commit.before.clear()
            yield commit

    published_state.commits_since = commits


def early_answer() -> None:
    """The leader answers writes before they are durable."""
    real = Writer._commit

    async def commit(self: Writer, view: Any, evaluated: Any) -> None:
        for write, answer in zip(evaluated.writes, evaluated.answers, strict=True):
            write.answer(answer)
        await asyncio.sleep(EARLY_SECONDS)
        await real(self, view, evaluated)

    Writer._commit = commit  # type: ignore[method-assign]


BUGS = {"stale-read": stale_read, "lost-event": lost_event, "early-answer": early_answer}

if __name__ == "__main__":
    BUGS[sys.argv.pop(1)]()
    main()
