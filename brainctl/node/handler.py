"""The type of the handlers of unary methods: a marshalled request in, a marshalled response or an error to a reply."""

from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import Message

from brainctl.errors import ApiError, BrainctlError, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.backend import Evaluate, Reply

Handler = Callable[[bytes, Reply], None]
"""Serves one unary method: takes the marshalled request and the reply."""


MALFORMED = Status(Code.INTERNAL, "grpc: failed to unmarshal the received message")
"""The status that gRPC servers in Go give for bytes that are no message of the method."""


class KvBackend(Protocol):
    """The part of a backend that the KV service needs; see `Backend`."""

    def submit(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """See `Backend.submit`."""

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """See `Backend.read`."""

    def range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """See `Backend.range`."""


def refusal(error: Exception) -> BrainctlError:
    """Return the answer to a request that could not be parsed or was refused; any foreign error becomes MALFORMED."""
    return error if isinstance(error, BrainctlError) else ApiError(MALFORMED)
