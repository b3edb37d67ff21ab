"""The seam between the RPCs of a node and what keeps its data (the local engine, or TiKV)."""

from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import Message

from brainctl.errors import BrainctlError
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit

Reply = Callable[[bytes | BrainctlError], None]
"""Takes the marshalled response, or the error, exactly once."""
Evaluate = Callable[[Batch, Message], bytes]
"""Stages the changes of a request and returns its marshalled response; raises ApiError and stages nothing."""


class Medium(Protocol):
    """Durable revisions and small records, written by one writer in group commits."""

    @property
    def revision(self) -> int:
        """The newest durable revision."""

    @property
    def compacted(self) -> int:
        """The compacted revision."""

    def meta(self, prefix: bytes) -> dict[bytes, bytes]:
        """The small records whose names start with `prefix`, as they are durable now."""

    def submit(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """Queue a write. Writes are evaluated in the order of submission, each seeing those before it; `reply` is
        called when the group commit that carries the write is durable, or with the error.
        """

    def range(self, request: Message, reply: Reply) -> None:
        """Answer a pb.RangeRequest from the durable state."""

    def subscribe(self, observer: Callable[[Commit], None]) -> None:
        """Have `observer` called with each commit once it is durable, in order, before its replies."""

    async def close(self) -> None:
        """Finish what is queued, then let go of the data."""
