"""Evaluate one group commit: requests that share what they read of the state, and are written in one transaction.

With 100 clients that makes 7 400 puts a second, a transaction for each 1 910; one client has 0.68 of what it has with
transactions of its own (`python -m bench.tikv`, docs/performance.md).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.message import Message

from brainctl.errors import BrainctlError
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.read_set import First, footprint
from brainctl.mvcc.steps import Steps, in_turns, release
from brainctl.tikv.ahead import is_large
from brainctl.tikv.key_codec import MAX_KEY
from brainctl.tikv.prefetched_view import PrefetchedView
from brainctl.tikv.state_view import StateView

MAX_REQUESTS = 512
"""Requests in the largest group."""
MAX_GROUP_BYTES = 1 << 20
"""Bytes of requests from which on a group takes no further one."""
MAX_REQUEST_BYTES = 3 << 20
"""Bytes of the largest request: the client cannot read a value above 4 MiB."""
Reply = Callable[[bytes | BrainctlError], None]
Answer = bytes | BrainctlError
Records = Callable[[bytes], bytes | None]
"""Looks up a small record by its name, as it is durable now."""


class Write:
    """A write that waits for its turn."""

    def __init__(self, evaluate: Callable[[Batch, Any], bytes | Steps[bytes]], request: Message, reply: Reply) -> None:
        """Create a write with what evaluates it, and `reply`, which receives the answer once."""
        self.evaluate = evaluate
        self.request = request
        self.footprint = footprint(request)
        self.size = request.ByteSize()
        self._reply: Reply | None = reply

    @property
    def too_large(self) -> bool:
        """Return whether the write is larger than what TiKV stores."""
        return self.size > MAX_REQUEST_BYTES or any(
            isinstance(read, First) and read.is_key and len(read.start) > MAX_KEY for read in self.footprint
        )

    def answer(self, answer: Answer) -> None:
        """Answer the write, unless it was answered before."""
        reply, self._reply = self._reply, None
        if reply is not None:
            reply(answer)

    @property
    def answered(self) -> bool:
        """Return whether the write has been answered."""
        return self._reply is None


class Evaluated(NamedTuple):
    """Changes that a group is to make durable, and the answer to each of its writes."""

    writes: list[Write]
    answers: list[Answer]
    commit: Commit
    loaded: PrefetchedView

    def release(self) -> Steps[None]:
        """Empty in steps what a large commit is made of, which nobody needs any more."""
        yield from self.loaded.release()
        yield from release(self.commit.changes)
        yield from release(self.commit.before)


def take_group(queue: list[Write]) -> list[Write]:
    """Remove the writes of the next group from the front of a queue, and return them."""
    size = taken = 0
    while taken < min(len(queue), MAX_REQUESTS) and size < MAX_GROUP_BYTES:
        size += queue[taken].size
        taken += 1
    group = queue[:taken]
    del queue[:taken]
    return group


async def evaluate_group(group: list[Write], view: StateView, records: Records, header: Header) -> Evaluated:
    """Evaluate writes in order, and return what they make durable.

    Of a group that is too large for one transaction only a first part is evaluated: `writes` of the result says which.
    A single write may be of any size. A long evaluation is done in slices, between which the event loop serves others;
    what it reads does not change meanwhile, since it is the state of `view`.

    Raises:
        TikvFailed: TiKV does not answer.
    """
    loaded = PrefetchedView(view)
    await loaded.load({read for write in group for read in write.footprint})
    while True:
        batch = Batch(PendingWrites(loaded), records, header, weigh=loaded.weight)
        answers = await in_turns(_evaluate(group, batch), partial(asyncio.sleep, 0))
        if loaded.missing:
            await loaded.load_missing()
        elif len(group) > 1 and is_large(batch.commit):
            group = group[: len(group) // 2]
        else:
            return Evaluated(group, answers, batch.commit, loaded)


def _evaluate(group: list[Write], batch: Batch) -> Steps[list[Answer]]:
    """Return, in steps, the answer to each write, or the error that it is refused with."""
    answers: list[Answer] = []
    for write in group:
        try:
            answer = write.evaluate(batch, write.request)
            answers.append(answer if isinstance(answer, bytes) else (yield from answer))
        except BrainctlError as error:
            answers.append(error)
        yield 1
    return answers
