"""The seam between the RPCs of a node and what keeps its data (the local engine, or TiKV)."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, runtime_checkable

from google.protobuf.message import Message

from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header
from brainctl.mvcc.steps import Steps
from brainctl.mvcc.view import AsyncView, View

T = TypeVar("T")
Reply = Callable[[bytes | BrainctlError], None]
"""Takes the marshalled response, or the error, exactly once."""


class Replies(Protocol):
    """Takes the answers to several requests: each exactly once."""

    def one(self, place: int, answer: bytes | BrainctlError) -> None:
        """The answer to the request at this place, from 0 on."""

    def all(self, answers: list[bytes]) -> None:
        """The answers to all of them, in their order, none of which is an error."""


Evaluate = Callable[[Batch, Any], bytes | Steps[bytes]]
"""Stages the changes of a request and returns its marshalled response; raises ApiError and stages nothing.

It may return the steps of that instead, which have not begun, when the batch allows it (`Batch.slices`).
"""
EvaluateRun = Callable[[Batch, list[bytes]], tuple[list[bytes | BrainctlError], int]]
"""The same for several marshalled requests, in order: their answers, and how many of them are errors."""


Observer = Callable[[Commit], None]
"""Follows the commits."""
ObserverSteps = Callable[[Commit], Steps[None]]
"""The same in steps, for a commit with very many changes."""


@runtime_checkable
class TakesRuns(Protocol):
    """A backend that evaluates several requests in one go."""

    def submit_run(self, evaluate: EvaluateRun, bodies: list[bytes], replies: Replies) -> None:
        """Queue writes, in their order, as Backend.submit does."""


@runtime_checkable
class TakesSteps(Protocol):
    """A backend that cuts long reads into slices."""

    async def in_slices(self, steps: Steps[T]) -> T:
        """Do work on what can be read now, and return its result; BrainctlError. What is compacted meanwhile stays."""


@runtime_checkable
class ReadsPoints(Protocol):
    """A backend that has a shorter way to one key as it is now."""

    def get(self, key: bytes, reply: Reply) -> None:
        """Answer as Backend.range does to a request that has nothing but the key."""


class Backend(Protocol):
    """Durable revisions and small records, written by one writer in group commits.

    All methods are called on the event loop. Replies are called on it too, some before the method returns.
    """

    @property
    def header(self) -> Header:
        """Marshals response headers: the ids of the cluster and of this member are part of the data."""

    @property
    def view(self) -> View | AsyncView:
        """The durable state."""

    @property
    def revision(self) -> int:
        """The newest durable revision."""

    @property
    def compacted(self) -> int:
        """The compacted revision."""

    @property
    def size(self) -> int:
        """Bytes that the data takes up on its backend."""

    @property
    def size_in_use(self) -> int:
        """Bytes of it that are not garbage."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes; only that one knows when leases expire."""

    def record(self, name: bytes) -> bytes | None:
        """A small record as it is durable now."""

    def records(self, prefix: bytes) -> dict[bytes, bytes]:
        """The small records whose names start with `prefix`, as they are durable now."""

    def submit(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """Queue a write. Writes are evaluated in the order of submission, each seeing those before it; `reply` is
        called when the group commit that carries the write is durable, or with the error.
        """

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """Answer a transaction that consists of reads only from the durable state."""

    def range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """Answer a range request, which was checked, from the durable state."""

    def deaf_seconds(self) -> float:
        """For how long in all the event loop has heard nobody, as in Deafness."""

    def subscribe(self, observer: Observer, steps: ObserverSteps | None = None) -> None:
        """Have `observer` called with each commit once it is durable, in order, before its replies; of a large commit
        `steps` may be taken instead.
        """

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work beside the requests; it is cancelled when the backend closes."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action after a while, unless the backend was closed before."""

    async def defragment(self) -> None:
        """Give back the space of garbage; reads and writes go on meanwhile."""

    async def close(self) -> None:
        """Finish what is queued, then let go of the data."""
