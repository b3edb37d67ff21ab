"""Group commit: an event loop that owns the state, and one thread that writes.

A write is evaluated when it is submitted, on the durable state and what is staged above it, and joins the open batch.
While the writer thread makes one batch durable, the next one fills; that is the whole of group commit: a write
and a sync take 110 us, which 100 clients share. Readers see the durable state only, so they never wait, and nothing
undurable is ever visible. Any failure to write ends the backend: what was acknowledged is on the disk, and every write
in flight has an unknown outcome.

The package docstring has the time line of an example.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import cast

from google.protobuf.message import Message

from brainctl.engine.engine import Engine
from brainctl.engine.log.encoded_batch import EncodedBatch
from brainctl.errors import STOPPED, ApiError, BrainctlError, StoreFailed, UnknownOutcome
from brainctl.log import Fact
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.steps import Steps, release
from brainctl.mvcc.tally import Tally
from brainctl.mvcc.weight import LARGE_CHANGES
from brainctl.node.backend import Evaluate, EvaluateBurst, Observer, ObserverSteps, Replies, Reply
from brainctl.node.lane import Lane
from brainctl.node.local.batch_window import BatchWindow
from brainctl.node.local.write_stages import GroupTimeline, Stages
from brainctl.node.reply_guard import INTERNAL
from brainctl.node.slices import Slices

_log = logging.getLogger(__name__)
_REPORT = "nothing that was acknowledged is lost: start it again, and report this with the log"

IDENTITY = b"identity"
"""The name of the small record with the cluster id and the member id, 8 bytes each, big endian."""
RAFT_TERM = 2
"""The term in all headers: there is no raft log, and an etcd of one member starts with term 2."""

Answer = tuple[Reply, bytes | BrainctlError]
"""A reply, and what to call it with once the batch is durable."""


class GroupCommit:
    """The writes of one open store.

    A batch goes through these methods: `submit` (evaluate, join), `_seal` (close it), `_encoded` (to the writer
    thread), `_durable` (show it), `_shown` (answer).
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.engine = engine
        self.failure: BrainctlError | None = None
        """The error that stopped the store; None while it works."""
        self.on_failure: Callable[[BrainctlError], None] | None = None
        """Called with that error, so that the server can end."""
        self.on_published: Observer = _nothing
        """Called with each commit that is visible and whose writes are answered."""
        self.stages = Stages(engine.options.clock)
        self.slices = Slices(loop)
        self._now = engine.options.clock.monotonic
        self._loop = loop
        self._observers: list[Observer] = []
        self._in_steps: dict[Observer, ObserverSteps] = {}
        """Variant in steps of each observer, for large commits."""
        self.tally = Tally()
        """Counts the operations since the store was opened."""
        self._staged = PendingWrites(engine.view, self.tally)
        """Changes that were evaluated and are not durable, above the durable state that `engine.view` reads."""
        self._in_flight: list[Answer] | None = None
        """The replies of the batch that is being written; None while none is."""
        self._answers: list[Answer] = []
        """The replies of the open batch."""
        self._sealing = False
        """Whether closing the open batch is scheduled already."""
        self._gather = BatchWindow()
        self._waiting: asyncio.TimerHandle | None = None
        """The timer that closes the open batch; None unless the batch waits for more writes."""
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._closed = False
        identity = engine.record(IDENTITY) or b"\0" * 16
        self.header = Header(int.from_bytes(identity[:8]), int.from_bytes(identity[8:]), RAFT_TERM)
        self._lane = Lane(loop, self._rest)
        self._batch = self._open_batch()
        self._path = GroupTimeline()
        """The times of the open batch."""
        self._work: SimpleQueue[tuple[Commit, EncodedBatch, GroupTimeline] | None] = SimpleQueue()
        """Batches for the writer thread; None ends it."""
        self._writer = threading.Thread(target=self._write, name="log writer", daemon=True)
        self._writer.start()

    def submit(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """See `Backend.submit`. The write is evaluated at once (unless the lane is taken) and answered once durable."""
        if self.failure is not None or self._closed:
            reply(ApiError(STOPPED))
            return
        if self._lane.taken:
            self._lane.wait(partial(self.submit, evaluate, request, reply))
            return
        opens = self._opens()
        answer = self._evaluate(evaluate, request)
        if isinstance(answer, bytes | BrainctlError):
            self._join(reply, answer, 1, opens=opens)
        else:
            self._lane.reserve(partial(self._begin_long, evaluate, request, reply))
            if self._rests:
                self._lane.go_on()

    def _evaluate(self, evaluate: Evaluate, request: Message) -> bytes | Steps[bytes] | BrainctlError:
        """Evaluate a write on the open batch.

        Return its response, the steps of a long write, or the error to answer with.
        """
        try:
            return evaluate(self._batch, request)
        except BrainctlError as error:
            return error
        except Exception:
            self._break()
            raise

    @property
    def _rests(self) -> bool:
        """Return whether nothing is staged: everything that was evaluated is durable."""
        return self._in_flight is None and not self._answers

    def _begin_long(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """Evaluate a long write by itself.

        Everything before it is durable, and nothing else is evaluated before it is durable too. So what it reads does
        not change while it is prepared in slices.
        """
        if self.failure is not None:
            reply(ApiError(STOPPED))
            return
        self._idle.clear()
        self._opens()
        try:
            answer = self._evaluate(evaluate, request)
        except Exception:  # noqa: BLE001 - the store has failed, and whoever waits must get an answer
            _log.exception(Fact("a write could not be evaluated"))
            reply(ApiError(INTERNAL))
            return
        if isinstance(answer, bytes | BrainctlError):
            self._join(reply, answer, 1, opens=True)
        else:
            self.slices.run(self._whole(answer), partial(self._end_long, reply), urgent=True)

    def _whole(self, steps: Steps[bytes]) -> Steps[bytes]:
        """Do the steps of a long write; an error other than BrainctlError stops the store."""
        try:
            return (yield from steps)
        except BrainctlError:
            raise
        except Exception:
            self._break()
            raise

    def _end_long(self, reply: Reply, answer: bytes | BrainctlError) -> None:
        """Join the open batch with a long write that has been evaluated."""
        if self.failure is not None:
            reply(UnknownOutcome(str(self.failure)).advised(self.failure.advice))
        else:
            self._join(reply, answer, 1, opens=True)

    def submit_burst(self, evaluate: EvaluateBurst, bodies: list[bytes], replies: Replies) -> None:
        """See `TakesBursts.submit_burst`.

        A put of a burst takes 2.2 us to serve and evaluate, one that is submitted by itself 4.1: a burst is looked at
        once, and is one answer to keep.
        """
        if self.failure is not None or self._closed:
            for place in range(len(bodies)):
                replies.one(place, ApiError(STOPPED))
            return
        if self._lane.taken:
            self._lane.wait(partial(self.submit_burst, evaluate, bodies, replies))
            return
        opens = self._opens()
        try:
            answers, failed = evaluate(self._batch, bodies)
        except Exception:
            self._break()
            raise
        self._join(_Burst(replies, answers, failed), b"", len(bodies), opens=opens)

    def _open_batch(self) -> Batch:
        return Batch(self._staged, self.engine.record, self.header, weigh=self._weigh)

    def _weigh(self, start: bytes, end: bytes | None) -> int:
        return self._staged.view.count(start, end, 0)

    def _rest(self) -> None:
        """Mark the backend as idle: the lane is free, so no write waits behind a long one any more."""
        if self._rests:
            self._idle.set()

    def _opens(self) -> bool:
        """Return whether the next write is the first of its batch; if it is, record when it arrived."""
        if self._answers:
            return False
        self._path.submitted = self._now()
        self._path.received = self.stages.heard_at or self._path.submitted
        return True

    def _break(self) -> None:
        """Stop the store: a write that failed half way has left changes staged that no client asked for."""
        self.fail(StoreFailed("a write could not be evaluated; the server stops rather than guess").advised(_REPORT))

    def _join(self, reply: Reply, answer: bytes | BrainctlError, writes: int, *, opens: bool) -> None:
        """Add an evaluated write (or a burst of `writes` puts) to the open batch; close the batch if it is time."""
        path = self._path
        if opens:
            path.evaluated = self._now()
        path.writes += writes
        self._answers.append((reply, answer))
        if self._in_flight is None and not self._sealing:
            self._seal_gathered()
        elif self._waiting is not None and path.writes >= self._gather.wanted:
            self._waiting.cancel()
            self._waiting = None
            self._loop.call_soon(self._seal)

    def subscribe(self, observer: Observer, steps: ObserverSteps | None = None) -> None:
        """See `Backend`."""
        self._observers.append(observer)
        if steps is not None:
            self._in_steps[observer] = steps

    def _seal_gathered(self) -> None:
        """Close the open batch in the next turn of the loop, or once the expected writes have come (`BatchWindow`)."""
        self._sealing = True
        self._idle.clear()
        delay = self._gather.delay(self._path.writes, self._now())
        if delay:
            self._waiting = self._loop.call_later(delay, self._seal)
        else:
            self._loop.call_soon(self._seal)

    def _seal(self) -> None:
        """Close the open batch, hand it to the writer thread and open the next one."""
        self._sealing = False
        self._waiting = None
        self._gather.closed(self._path.writes)
        if self.failure is not None or not self._answers:
            return
        self._in_flight, self._answers = self._answers, []
        self._idle.clear()
        commit, path = self._batch.commit, self._path
        if self._batch.empty:
            self._durable(commit, None, path)
            return
        path.sealed = self._now()
        self._batch = self._open_batch()
        self._path = GroupTimeline()
        if _is_large(commit):
            self.slices.run(self.engine.encode_steps(commit), partial(self._encoded, commit, path), urgent=True)
            return
        try:
            prepared: EncodedBatch | BrainctlError = self.engine.encode(commit)
        except BrainctlError as error:
            prepared = error
        self._encoded(commit, path, prepared)

    def _encoded(self, commit: Commit, path: GroupTimeline, prepared: EncodedBatch | BrainctlError) -> None:
        """Queue a commit for the writer thread; `prepared` has its bytes and addresses in the log."""
        if isinstance(prepared, BrainctlError):  # background work has ended the log
            self.fail(prepared)
            return
        path.encoded = self._now()
        self._work.put((commit, prepared, path))

    def _write(self) -> None:
        """Write and sync one batch after the other; this is the writer thread."""
        while (work := self._work.get()) is not None:
            commit, prepared, path = work
            syncs = self.engine.log_syncs.seconds
            path.taken = self._now()
            try:
                self.engine.write(prepared)
            except BrainctlError as error:
                self._loop.call_soon_threadsafe(self.fail, error)
                return
            path.written = self._now()
            path.syncing = self.engine.log_syncs.seconds - syncs
            self._loop.call_soon_threadsafe(self._durable, commit, prepared, path)

    def _durable(self, commit: Commit, prepared: EncodedBatch | None, path: GroupTimeline) -> None:
        """Show a commit to readers and watchers, then answer the clients that wait for it."""
        if self.failure is not None:
            return
        if prepared is None:
            self._shown(commit, prepared, path)
            return
        path.woken = self._now()
        if _is_large(commit):
            self.slices.run(self._show_steps(commit, prepared, path), self._after_steps, urgent=True)
            return
        self.engine.publish(commit, prepared)
        if commit.changes or commit.meta or commit.compact:  # an empty commit was not staged: see `_confirm`
            self._staged.durable(commit)
        for observer in self._observers:
            observer(commit)
        path.applied = self._now()
        self._shown(commit, prepared, path)

    def _show_steps(self, commit: Commit, prepared: EncodedBatch, path: GroupTimeline) -> Steps[None]:
        """Show a large commit step by step; readers see all of it at once.

        The lists of the commit are released in steps too, since freeing very many objects at once would block the loop.
        """
        yield from self.engine.publish_steps(commit, prepared)
        self._staged.durable(commit)
        for observer in self._observers:
            steps = self._in_steps.get(observer)
            if steps is None:
                observer(commit)
            else:
                yield from steps(commit)
        path.applied = self._now()
        self._shown(commit, prepared, path)
        for items in (commit.changes, commit.before, prepared.parts, prepared.joined, prepared.addresses):
            yield from release(cast("list[object]", items))

    def _after_steps(self, outcome: BrainctlError | None) -> None:
        if outcome is not None and not self._closed:  # when closed: it was shown, only freeing its memory was left
            self.fail(StoreFailed(f"a large commit could not be shown: {outcome}").advised(_REPORT))

    def _shown(self, commit: Commit, prepared: EncodedBatch | None, path: GroupTimeline) -> None:
        """Answer the clients that wait for a commit that readers now see, and go on with the next batch."""
        answers, self._in_flight = self._in_flight, None
        for reply, answer in answers or ():
            reply(answer)
        self._gather.answered(path.writes, self._path.writes, self._now())
        if prepared is not None and path.writes:  # no client wrote the commit of `_confirm`
            first = commit.changes[0].mod_revision if commit.changes else commit.revision + 1
            self.stages.done(path, range(first, commit.revision + 1))
        if self._answers:
            if not self._sealing:
                self._seal_gathered()
        elif self._lane.taken:
            self._lane.go_on()
        else:
            self._idle.set()
        self.on_published(commit)

    def fail(self, error: BrainctlError) -> None:
        """Stop for good: evaluated writes that are not answered get UnknownOutcome, later ones are refused with
        STOPPED.
        """
        if self.failure is not None:
            return
        self.failure = error
        _log.error(Fact("the store has failed, and takes no more writes", error=error, advice=error.advice))
        waiting = (self._in_flight or []) + self._answers
        self._in_flight, self._answers = None, []
        for reply, _ in waiting:
            reply(UnknownOutcome(str(error)).advised(error.advice))
        self._lane.empty()
        self._idle.set()
        if self.on_failure is not None:
            self.on_failure(error)

    def _confirm(self) -> None:
        """Write an empty commit, which proves that the commit before it was durable.

        In the file of a recycled segment, damage to the last record could otherwise be taken for an unfinished write.
        """
        try:
            commit, prepared = self.engine.confirm()
        except BrainctlError as error:  # background work has ended the log
            self.fail(error)
            return
        self._in_flight = []
        self._idle.clear()
        self._work.put((commit, prepared, GroupTimeline()))

    def confirm_resting(self) -> None:
        """Call `_confirm` when nothing is being written.

        Reclaim calls it too, so that a log without writes goes on in a new segment.
        """
        if self._idle.is_set() and not self._answers and self.failure is None:
            self._confirm()

    async def finish(self) -> None:
        """Refuse writes from now on, and wait until those that came are durable and answered."""
        self._closed = True
        await self._idle.wait()
        self.slices.close()

    async def join(self) -> None:
        """End the writer thread; nothing may be written any more."""
        self._work.put(None)
        await asyncio.to_thread(self._writer.join)


def _nothing(_commit: Commit) -> None:
    """Do nothing with a commit."""


def _is_large(commit: Commit) -> bool:
    """Return whether encoding or showing a commit would take longer than one turn of the event loop may."""
    return len(commit.changes) > LARGE_CHANGES and not commit.imported


class _Burst:
    """The reply to a burst of puts: passes on the answers when the burst is durable, or one error to all of them."""

    __slots__ = ("_answers", "_failed", "_replies")

    def __init__(self, replies: Replies, answers: list[bytes | BrainctlError], failed: int) -> None:
        self._replies = replies
        self._answers = answers
        self._failed = failed

    def __call__(self, outcome: bytes | BrainctlError) -> None:
        answers = self._answers
        if isinstance(outcome, BrainctlError):
            answers = [outcome] * len(answers)
        elif not self._failed:
            self._replies.all(cast("list[bytes]", answers))
            return
        for place, answer in enumerate(answers):
            self._replies.one(place, answer)
