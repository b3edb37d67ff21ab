"""The interface that commands, migration and verification work against, whatever is behind it.

The vocabulary is etcd's own: its protobuf messages go in and come out, its errors are raised as ApiError.
A write that returned is durable. A write whose fate is not known raises UnknownOutcome, never ApiError.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb

Reply = TypeVar("Reply", bound=Message)


class Store(Protocol):
    """The etcd v3 API, asynchronous."""

    @property
    def url(self) -> str:
        """Where the store is, as the user would name it."""

    async def call(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        """Any unary RPC, by its path, for example "/etcdserverpb.KV/Range"."""

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        """KV.Range."""

    async def put(self, request: pb.PutRequest) -> pb.PutResponse:
        """KV.Put."""

    async def delete_range(self, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:
        """KV.DeleteRange."""

    async def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """KV.Txn."""

    async def compact(self, request: pb.CompactionRequest) -> pb.CompactionResponse:
        """KV.Compact."""

    def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> AsyncIterator[pb.WatchResponse]:
        """Watch.Watch: one stream of requests and responses, raw (created, progress, fragments and all)."""

    async def lease_grant(self, request: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:
        """Lease.LeaseGrant."""

    async def lease_revoke(self, request: pb.LeaseRevokeRequest) -> pb.LeaseRevokeResponse:
        """Lease.LeaseRevoke."""

    async def lease_keep_alive(self, lease: int) -> pb.LeaseKeepAliveResponse:
        """One exchange of Lease.LeaseKeepAlive; a TTL of 0 in the answer says that the lease is gone."""

    async def lease_time_to_live(self, request: pb.LeaseTimeToLiveRequest) -> pb.LeaseTimeToLiveResponse:
        """Lease.LeaseTimeToLive."""

    async def leases(self) -> pb.LeaseLeasesResponse:
        """Lease.LeaseLeases."""

    async def status(self) -> pb.StatusResponse:
        """Maintenance.Status."""

    def snapshot(self) -> AsyncIterator[pb.SnapshotResponse]:
        """Maintenance.Snapshot."""

    async def close(self) -> None:
        """Let go of everything; the store can be opened by others when this returns."""


class Checkpoint(NamedTuple):
    """Where a migration stands, as its target remembers it."""

    run: str
    """Identity of the process that writes."""
    epoch: int
    """Raised by each take-over; an older epoch may no longer write."""
    state: bytes
    """The migration's own record, opaque to the store."""


class ReplicaTarget(Protocol):
    """A store that can take another's data with its revisions, versions and leases unchanged.

    Every call is one atomic, durable commit that also checks the epoch and moves the checkpoint; Fenced is raised,
    and nothing written, when another epoch has taken over. Only `import_base` and `reset` may take several commits,
    each of which checks the epoch: the checkpoint then moves with the last one, because it says what is complete.
    """

    @property
    def revision(self) -> int:
        """The newest revision that the target holds: the watermark of the change stream."""

    async def is_empty(self) -> bool:
        """Whether the store was never written."""

    async def served_by(self, *, or_migrated: bool) -> str:
        """Return words for the living process that serves the store or, with `or_migrated`, migrates into it; "" when
        there is none. A killed one counts for some seconds, which this waits for.
        """

    async def checkpoint(self) -> Checkpoint | None:
        """The checkpoint of the migration that writes or wrote here, None when there was none."""

    async def take_over(self, checkpoint: Checkpoint) -> None:
        """Make this process the only writer: its epoch must be higher than the stored one."""

    async def import_base(self, kvs: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        """Add live keys as they stood at `base_revision` (marshalled KeyValues), which becomes the compacted
        revision. Keys may come again after a resume: the same bytes are then written again.
        """

    async def leases(self) -> Sequence[int]:
        """The ids of the leases that the target holds, in any order."""

    async def import_leases(self, leases: Sequence[tuple[int, int, int]], checkpoint: Checkpoint) -> None:
        """Grant leases as (id, granted TTL, remaining TTL), seconds; an id that exists is set anew."""

    async def drop_leases(self, leases: Sequence[int], checkpoint: Checkpoint) -> None:
        """Forget leases that the source no longer has. Keys are not touched: the stream deletes them."""

    async def auth(self) -> Mapping[bytes, bytes]:
        """Return the small records of users, roles and the switch of authentication."""

    async def import_auth(self, records: Mapping[bytes, bytes], checkpoint: Checkpoint) -> None:
        """Put `records` into the place of all records of users, roles and the switch of authentication."""

    async def apply(self, events: Sequence[bytes], revision: int, checkpoint: Checkpoint) -> None:
        """Append whole revisions of the change stream (marshalled mvccpb.Event, in order, without prev_kv), the
        last of which is at most `revision`, which becomes the store's. Events at or below the store's revision
        are skipped, so that a batch can be sent again.
        """

    async def reset(self, checkpoint: Checkpoint) -> None:
        """Remove all keys, leases and history, to start the copy over; the checkpoint stays."""

    async def close(self) -> None:
        """Let go of the store."""
