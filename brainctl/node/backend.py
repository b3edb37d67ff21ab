"""The interface between the RPCs of a node and what keeps its data (the local engine, or TiKV).

`Backend` is what both have. Its properties `points`, `bursts`, `steps`, `local` and `traffic` are what one of them has
beyond that: faster ways, and what belongs to a directory or to TiKV. A node looks there for what it can use.
"""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message

from brainctl.engine.engine import Engine
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header
from brainctl.mvcc.steps import Steps
from brainctl.mvcc.tally import Tally
from brainctl.mvcc.view import AsyncView, View
from brainctl.node.local.write_stages import Stages
from brainctl.tikv.client.traffic import Traffic

T = TypeVar("T")
Reply = Callable[[bytes | BrainctlError], None]
"""Receives the marshalled response, or the error. It is called exactly once per request."""


class Replies(Protocol):
    """Receives the answers to several requests, each exactly once: by one call of `all`, or by one of `one` each."""

    def one(self, place: int, answer: bytes | BrainctlError) -> None:
        """Receive the answer to one request.

        Args:
            place: The position of the request in the burst, from 0 on.
            answer: The marshalled response or the error.
        """

    def all(self, answers: list[bytes]) -> None:
        """Receive the marshalled responses to all requests in their order; none of them is an error."""


Evaluate = Callable[[Batch, Any], bytes | Steps[bytes]]
"""Stages the changes of a request in the batch and returns its marshalled response.

When it raises ApiError, it has staged nothing. It may return steps instead, which have not begun and whose result is
the response, when the batch allows it (`Batch.slices`).
"""
EvaluateBurst = Callable[[Batch, list[bytes]], tuple[list[bytes | BrainctlError], int]]
"""Evaluates several marshalled requests in order; returns their answers, and how many of the answers are errors."""


Observer = Callable[[Commit], None]
"""Is called with each commit after it became durable."""
ObserverSteps = Callable[[Commit], Steps[None]]
"""Does the work of an `Observer` in steps, for a commit with very many changes (more than LARGE_CHANGES)."""


class TakesBursts(Protocol):
    """A backend that evaluates several requests with one call, which costs less per request."""

    def submit_burst(self, evaluate: EvaluateBurst, bodies: list[bytes], replies: Replies) -> None:
        """Queue writes in their order, as `Backend.submit` does for one write."""


class TakesSteps(Protocol):
    """A backend that cuts long reads into slices, between which the event loop serves other requests."""

    async def in_slices(self, steps: Steps[T]) -> T:
        """Do work on the state that is readable now, and return its result.

        A compaction that happens meanwhile takes nothing away from this work.

        Raises:
            BrainctlError: The work raised it, or the backend was closed meanwhile.
        """


class ReadsPoints(Protocol):
    """A backend that has a shorter way to the newest version of one key."""

    def get(self, key: bytes, reply: Reply) -> None:
        """Answer as `Backend.range` answers a request that consists of the key only."""


class LocalEngine(NamedTuple):
    """The engine of a backend over a directory, with the timing of its writes and its figures."""

    engine: Engine
    stages: Stages
    """The timing of its writes."""
    tally: Tally
    """The counts of its operations."""
    on_closing: Callable[[Callable[[], None]], None]
    """Sets what is called after the last write, while the lock of the directory is still held."""


class Backend(Protocol):
    """Durable revisions and small records, written by one writer in group commits.

    All methods are called on the event loop. Replies are called on it too, some of them before the method returns.
    """

    @property
    def points(self) -> ReadsPoints | None:
        """Return the shorter way to one key; None when there is none."""

    @property
    def bursts(self) -> TakesBursts | None:
        """Return what evaluates several writes at once; None when there is none."""

    @property
    def steps(self) -> TakesSteps | None:
        """Return what cuts long reads into slices; None when the reads do not occupy the event loop."""

    @property
    def local(self) -> LocalEngine | None:
        """Return the local engine and what belongs to it; None when the data is elsewhere."""

    @property
    def traffic(self) -> Traffic | None:
        """Return the counts of the requests to TiKV; None when the data is elsewhere."""

    @property
    def header(self) -> Header:
        """Return what marshals response headers; the ids of the cluster and of this member are part of the data."""

    @property
    def view(self) -> View | AsyncView:
        """Return the durable state, for reading."""

    @property
    def revision(self) -> int:
        """Return the newest durable revision."""

    @property
    def compacted(self) -> int:
        """Return the compacted revision."""

    @property
    def size(self) -> int:
        """Return how many bytes the data takes up on its backend."""

    @property
    def size_in_use(self) -> int:
        """Return how many bytes of `size` are not garbage."""

    @property
    def term(self) -> int:
        """Return the number of the lead that this process holds; 0 while another process may have taken it.

        Only the process that writes knows when leases expire.
        """

    def record(self, name: bytes) -> bytes | None:
        """Return a small record as it is durable now; None when there is none of that name."""

    def records(self, prefix: bytes) -> dict[bytes, bytes]:
        """Return the small records whose names start with `prefix`, by name, as they are durable now."""

    def submit(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """Queue a write.

        Writes are evaluated in the order of submission, and each sees the writes before it. `reply` is called when the
        group commit that carries the write is durable, or with the error.
        """

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """Answer a transaction that consists of reads only from the durable state."""

    def range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """Answer a range request from the durable state; the caller has checked the request."""

    def deaf_seconds(self) -> float:
        """Return the total of seconds in which the event loop read no connection, as `Deafness` counts them."""

    def subscribe(self, observer: Observer, steps: ObserverSteps | None = None) -> None:
        """Register `observer`, which is called with each commit once it is durable, in order, before its replies.

        For a large commit `steps` may be used instead of `observer`.
        """

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work beside the requests; it is cancelled when the backend closes."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action after some seconds, unless the backend is closed before."""

    async def defragment(self) -> None:
        """Give back the space of garbage; reads and writes go on meanwhile."""

    async def close(self) -> None:
        """Finish what is queued, then release the data."""
