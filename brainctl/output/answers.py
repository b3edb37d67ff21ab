"""What commands show when the response of the API alone does not have all of it."""

from typing import NamedTuple

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb


class Style(NamedTuple):
    """The options of the output beside the format."""

    hex: bool = False
    value_only: bool = False
    numbers: bool = False
    """Whether 64-bit numbers are numbers in JSON; otherwise they are strings."""


class Done(NamedTuple):
    """The answer to a request whose plain text names what was requested, which the response does not."""

    text: bytes
    """Text for -w simple, each line with its newline."""
    response: Message


class LeaseInfo(NamedTuple):
    """The answer to a request for a lease, and whether its keys were requested."""

    response: pb.LeaseTimeToLiveResponse
    keys: bool


class Health(NamedTuple):
    """The result of the health check of one endpoint."""

    endpoint: str
    healthy: bool
    took: str
    """A duration in Go's form; empty when the endpoint was not reached."""
    error: str


class EndpointStatus(NamedTuple):
    """The status of one endpoint."""

    endpoint: str
    response: pb.StatusResponse


class EndpointHash(NamedTuple):
    """The hash of the history at one endpoint."""

    endpoint: str
    response: pb.HashKVResponse


class Endpoints(NamedTuple):
    """One row for each endpoint, all of one type."""

    rows: list[Health] | list[EndpointStatus] | list[EndpointHash]


class FileStatus(NamedTuple):
    """The figures of a database file."""

    hash: int
    revision: int
    keys: int
    size: int
    version: str


class FileHash(NamedTuple):
    """The hash of the history in a database file."""

    hash: int
    revision: int
    compact_revision: int


Answer = Message | Done | LeaseInfo | Endpoints | FileStatus | FileHash
"""Everything that a format can render."""
