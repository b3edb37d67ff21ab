"""The interface that commands, migration and verification work against, whatever keeps the data.

The vocabulary is etcd's own: its protobuf messages go in and come out, its errors are raised as ApiError.
A write that returned is durable. A write whose outcome is not known raises UnknownOutcome, never ApiError.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb

if TYPE_CHECKING:
    from brainctl.stores.etcd.store import EtcdStore
    from brainctl.stores.in_process import NodeStore

Reply = TypeVar("Reply", bound=Message)


class Store(Protocol):
    """The etcd v3 API, asynchronous.

    All methods raise ApiError when the store answers with an error, and ConnectionFailed when no server can be reached.
    """

    @property
    def url(self) -> str:
        """Return the URL of the store, as the user would write it."""

    @property
    def in_process(self) -> "NodeStore | None":
        """Return the store when its node is in this process, which has its data at hand; None for a server."""

    @property
    def server(self) -> "EtcdStore | None":
        """Return the client when the store is a server; None when its node is in this process."""

    async def call(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        """Call any unary RPC by its path, for example "/etcdserverpb.KV/Range".

        Raises:
            UnknownOutcome: A write was sent, and its answer was lost.
        """

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        """Call KV.Range."""

    async def put(self, request: pb.PutRequest) -> pb.PutResponse:
        """Call KV.Put; it is durable on return."""

    async def delete_range(self, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:
        """Call KV.DeleteRange; it is durable on return."""

    async def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """Call KV.Txn; it is durable on return."""

    async def compact(self, request: pb.CompactionRequest) -> pb.CompactionResponse:
        """Call KV.Compact."""

    def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> AsyncIterator[pb.WatchResponse]:
        """Open Watch.Watch: one stream of requests and responses, unchanged (created, progress, fragments)."""

    async def lease_grant(self, request: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:
        """Call Lease.LeaseGrant."""

    async def lease_revoke(self, request: pb.LeaseRevokeRequest) -> pb.LeaseRevokeResponse:
        """Call Lease.LeaseRevoke."""

    async def lease_keep_alive(self, lease: int) -> pb.LeaseKeepAliveResponse:
        """Send one Lease.LeaseKeepAlive; a TTL of 0 in the answer says that the lease does not exist."""

    async def lease_time_to_live(self, request: pb.LeaseTimeToLiveRequest) -> pb.LeaseTimeToLiveResponse:
        """Call Lease.LeaseTimeToLive."""

    async def leases(self) -> pb.LeaseLeasesResponse:
        """Call Lease.LeaseLeases."""

    async def status(self) -> pb.StatusResponse:
        """Call Maintenance.Status."""

    def snapshot(self) -> AsyncIterator[pb.SnapshotResponse]:
        """Call Maintenance.Snapshot and yield its responses."""

    async def close(self) -> None:
        """Release everything; the store can be opened by others when this returns."""


class Checkpoint(NamedTuple):
    """The state of a migration, as its target keeps it."""

    run: str
    """The random name of the process that writes."""
    epoch: int
    """A number that each take-over raises; a process with an older epoch may no longer write."""
    state: bytes
    """The migration's own record (migrate/machine/record.py), opaque to the store."""


class ReplicaTarget(Protocol):
    """A store that can take another's data with its revisions, versions and leases unchanged.

    Every call is one atomic, durable commit that also checks the epoch and stores the checkpoint; Fenced is raised,
    and nothing written, when another epoch has taken over. Only `import_base` and `reset` may take several commits,
    each of which checks the epoch: the checkpoint then is stored with the last one, because it says what is complete.
    """

    @property
    def revision(self) -> int:
        """Return the newest revision that the target holds: the watermark of the change stream."""

    @property
    def longest_key(self) -> int | None:
        """Return the bytes of the longest key that the store takes; None without a limit."""

    async def is_empty(self) -> bool:
        """Return whether the store was never written."""

    async def served_by(self, *, or_migrated: bool) -> str:
        """Return words for the living process that serves the store; "" when there is none.

        With `or_migrated` a process that migrates into it counts too. A killed process counts for some seconds, which
        this waits for.
        """

    async def checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of the migration that writes or wrote here; None when there was none."""

    async def take_over(self, checkpoint: Checkpoint) -> None:
        """Make this process the only writer: its epoch must be higher than the stored one.

        Raises:
            Fenced: It is not.
        """

    async def import_base(self, kvs: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        """Add live keys as they were at `base_revision` (marshalled KeyValues), which becomes the compacted revision.

        Keys may be sent again after a resume: the same bytes are then written again.
        """

    async def advance_base(self, events: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        """Move the base on to `base_revision`, the last of whole revisions that follow it, and compact up to there.

        The base need not be complete: a change of a key that was not imported is skipped, unless it creates the key.
        Such a key is imported later, as of the new base.

        Args:
            events: Marshalled mvccpb.Events of all revisions up to the new base, in order, without prev_kv. More events
                than those of one revision must fit one commit of the store.
            base_revision: The revision of the last of them.
            checkpoint: The checkpoint to store with them.
        """

    async def leases(self) -> Sequence[int]:
        """Return the ids of the leases that the target holds, in any order."""

    async def import_leases(self, leases: Sequence[tuple[int, int, int]], checkpoint: Checkpoint) -> None:
        """Grant leases as (id, granted TTL, remaining TTL), in seconds; an existing id is granted anew."""

    async def drop_leases(self, leases: Sequence[int], checkpoint: Checkpoint) -> None:
        """Remove leases that the source no longer has. Keys are not touched: the stream deletes them."""

    async def auth(self) -> Mapping[bytes, bytes]:
        """Return the small records of users, roles and the switch of authentication."""

    async def import_auth(self, records: Mapping[bytes, bytes], checkpoint: Checkpoint) -> None:
        """Replace all records of users, roles and the switch of authentication by `records`."""

    async def apply(self, events: Sequence[bytes], revision: int, checkpoint: Checkpoint) -> None:
        """Append whole revisions of the change stream.

        Events at or below the store's revision are skipped, so that a batch can be sent again.

        Args:
            events: Marshalled mvccpb.Events, in order, without prev_kv.
            revision: At least the last revision of `events`; it becomes the store's.
            checkpoint: The checkpoint to store with them.
        """

    async def reset(self, checkpoint: Checkpoint) -> None:
        """Remove all keys, leases and history, to start the copy over; the checkpoint stays."""

    async def close(self) -> None:
        """Release the store."""
