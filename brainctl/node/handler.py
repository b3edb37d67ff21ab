"""The handler of a unary method: marshalled request in, marshalled response or error to a reply."""

from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import Message

from brainctl.errors import ApiError, BrainctlError, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.backend import Evaluate, Reply

Handler = Callable[[bytes, Reply], None]
"""Serves one unary method: takes the marshalled request."""


MALFORMED = Status(Code.INTERNAL, "grpc: failed to unmarshal the received message")


class KvBackend(Protocol):
    """The part of a backend that keys need; see `Backend`."""

    def submit(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """Queue a write."""

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """Answer a transaction of reads."""

    def range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """Answer a range request."""


def refusal(error: Exception) -> BrainctlError:
    """What to answer to a request that could not be taken."""
    return error if isinstance(error, BrainctlError) else ApiError(MALFORMED)
