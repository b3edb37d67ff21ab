"""What was handed in to a node and what it answered, beside a model that says what the answer must be."""

import asyncio
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from brainctl.engine.engine import Engine
from brainctl.errors import BrainctlError, UnknownOutcome
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.node.backend import Evaluate, EvaluateBurst, Replies, Reply
from brainctl.node.local.backend import LocalBackend
from brainctl.node.local.group_commit import IDENTITY
from tests.faults.simulation.model import Model, Refused
from tests.unit.engine.model import write

RESPONSES: dict[str, type[Message]] = {
    "PutRequest": pb.PutResponse,
    "DeleteRangeRequest": pb.DeleteRangeResponse,
    "TxnRequest": pb.TxnResponse,
    "CompactionRequest": pb.CompactionResponse,
    "LeaseGrantRequest": pb.LeaseGrantResponse,
    "LeaseRevokeRequest": pb.LeaseRevokeResponse,
}


class Journal:
    """The writes of a store in the order in which they were evaluated, over all its openings."""

    def __init__(self) -> None:
        self.model = Model()
        self.requests: list[Message] = []
        """As they were evaluated; `model.marks[n]` is the state after n of them."""
        self.acknowledged = 0
        """So many of them were answered, refusals included: a crash must not take them back."""
        self.shown = 1
        """The highest revision that anybody was told of."""
        self.unknown = 0
        """Requests with an unknown outcome."""
        self.stopped = False
        """Power has gone: what is answered from now on reaches nobody."""
        self.complaints: list[str] = []
        """What was found wrong where an exception would not be heard."""
        self.on_answer: Callable[[int], None] = lambda _: None
        self.on_revoke: Callable[[int], None] = lambda _: None
        """Called with each lease that is about to be revoked."""
        self.expires: Callable[[int], bool] = lambda _: False
        """Whether nobody but the node itself asks that a lease be revoked."""

    def hand_in(self, request: Any) -> tuple[int, Message | str]:
        """A request is evaluated now: its number from 1, and the answer that it must get."""
        self.requests.append(request)
        if isinstance(request, pb.LeaseRevokeRequest):
            self.on_revoke(request.ID)
        try:
            expected: Message | str = self.model.apply(request)
        except Refused as refusal:
            expected = str(refusal)
        return len(self.requests), expected

    def answered(self, number: int, expected: Message | str, answer: bytes | BrainctlError) -> None:
        """An answer has come; AssertionError when it is another than expected."""
        if isinstance(answer, UnknownOutcome):
            self.unknown += 1
            return
        if self.stopped:
            return
        if isinstance(answer, BrainctlError):
            assert str(answer) == expected, f"request {number} was refused with {answer}, not {expected}"
        else:
            assert not isinstance(expected, str), f"request {number} was not refused with {expected}"
            got: Any = type(expected).FromString(answer)
            revision, wanted = got.header.revision, expected.header.revision  # type: ignore[attr-defined]
            assert revision == wanted, f"request {number} got revision {revision}, not {wanted}"
            got.header.CopyFrom(expected.header)  # type: ignore[attr-defined]
            assert got == expected, f"request {number} was answered {got}, not {expected}"
            self.shown = max(self.shown, revision)
        self.acknowledged = max(self.acknowledged, number)
        self.on_answer(number)

    def roll_back(self, count: int) -> None:
        """The store has been found as it was after so many requests."""
        self.model.roll_back(count)
        del self.requests[count:]
        self.acknowledged = count
        self.shown = self.model.revision


class RecordedBackend(LocalBackend):
    """The local backend, with a journal of all that is written through it.

    With `early` it answers before anything is durable: a planted bug, for controls.
    """

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        reclaim_rate: int = 0,
        *,
        early: bool = False,
    ) -> None:
        if engine.record(IDENTITY) is None:
            write(engine, Commit(engine.view.revision, meta={IDENTITY: bytes(7) + b"\1" + bytes(7) + b"\2"}))
        super().__init__(engine, loop, reclaim_rate)
        self.journal = journal
        self._early = early
        self.submit = self._submit_recorded
        self.submit_burst = self._submit_burst_recorded

    def _submit_recorded(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """As in Backend."""
        if type(request).__name__ not in RESPONSES:
            self.commits.submit(evaluate, request, reply)
            return
        entry: list[tuple[int, Message | str]] = []

        def evaluated(batch: Batch, request: Message) -> bytes:
            if isinstance(request, pb.LeaseRevokeRequest) and self.journal.expires(request.ID):
                answer = evaluate(batch, request)  # the node may think better of it, and nobody hears
                entry.append(self.journal.hand_in(request))
                return answer
            entry.append(self.journal.hand_in(request))
            answer = evaluate(batch, request)
            if self._early:
                self.journal.answered(*entry[0], answer)
                asyncio.get_running_loop().call_soon(reply, answer)
            return answer

        def answered(answer: bytes | BrainctlError) -> None:
            if entry and not self._early:
                self.journal.answered(*entry[0], answer)
            reply(answer)

        self.commits.submit(evaluated, request, answered)

    def _submit_burst_recorded(self, evaluate: EvaluateBurst, bodies: list[bytes], replies: Replies) -> None:
        """As in Backend."""
        entries: list[tuple[int, Message | str]] = []

        def evaluated(batch: Batch, bodies: list[bytes]) -> tuple[list[bytes | BrainctlError], int]:
            entries.extend(self.journal.hand_in(pb.PutRequest.FromString(body)) for body in bodies)
            return evaluate(batch, bodies)

        self.commits.submit_burst(evaluated, bodies, _Answered(self.journal, entries, replies))


class _Answered:
    """The replies to a run, which the journal hears too."""

    def __init__(self, journal: Journal, entries: list[tuple[int, Message | str]], replies: Replies) -> None:
        self._journal, self._entries, self._replies = journal, entries, replies

    def one(self, place: int, answer: bytes | BrainctlError) -> None:
        """As in Replies."""
        if self._entries:
            self._journal.answered(*self._entries[place], answer)
        self._replies.one(place, answer)

    def all(self, answers: list[bytes]) -> None:
        """As in Replies."""
        for entry, answer in zip(self._entries, answers, strict=True):
            self._journal.answered(*entry, answer)
        self._replies.all(answers)
