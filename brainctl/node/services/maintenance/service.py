"""The Maintenance service: status, hashes, defragmentation; the rest of it has modules of its own."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from crc32c import crc32c
from google.protobuf.message import DecodeError

from brainctl.clock import Clock
from brainctl.errors import BAD_TRANSFEREE, NO_LEADER, ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.hashkv import Hasher, KvHash, hash_steps, hashed_revision
from brainctl.mvcc.lessor import LEASES
from brainctl.mvcc.steps import finish
from brainctl.mvcc.view import AsyncView
from brainctl.node.backend import Backend, Reply
from brainctl.node.handler import Handler, refusal
from brainctl.node.membership import Membership
from brainctl.node.options import NodeOptions
from brainctl.node.quota import Quota
from brainctl.node.services.maintenance.alarms import AlarmService
from brainctl.node.services.maintenance.downgrade import DowngradeService
from brainctl.node.services.maintenance.snapshot import STORAGE_VERSION, snapshot
from brainctl.node.services.maintenance.snapshot_room import SnapshotRoom
from brainctl.node.slices import in_slices

ETCD_VERSION = "3.7.3"
"""The release of etcd whose API this is; clients decide by it which features they use."""


class MaintenanceService:
    """The Maintenance service over a backend."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        options: NodeOptions | None = None,
        membership: Membership | None = None,
    ) -> None:
        self._membership = membership
        options = options or NodeOptions()
        self.snapshots = SnapshotRoom(clock.monotonic)
        self._backend = backend
        self._quota = Quota(backend, options.quota_bytes)
        self._downgrade = DowngradeService(backend)
        self.alarms = AlarmService(backend, self._quota)

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path."""
        return {
            "/etcdserverpb.Maintenance/Status": self.status,
            **self.alarms.handlers(),
            **self._downgrade.handlers(),
            "/etcdserverpb.Maintenance/HashKV": self.hash_kv,
            "/etcdserverpb.Maintenance/Hash": self.hash,
            "/etcdserverpb.Maintenance/Defragment": self.defragment,
            "/etcdserverpb.Maintenance/MoveLeader": self.move_leader,
        }

    def status(self, body: bytes, reply: Reply) -> None:
        """Serve Maintenance.Status: there is no raft log, so its indexes are the revision."""
        del body
        backend = self._backend
        leader = self._membership.leader if self._membership is not None else backend.header.member_id
        response = pb.StatusResponse(
            version=ETCD_VERSION,
            storageVersion=STORAGE_VERSION,
            dbSize=max(backend.size, 1),  # etcdctl divides by it
            dbSizeInUse=backend.size_in_use,
            leader=leader,
            raftTerm=backend.header.raft_term,
            raftIndex=backend.revision,
            raftAppliedIndex=backend.revision,
            errors=[*map(_alarm_text, self.alarms.alarms()), *([] if leader else [NO_LEADER.message])],
            dbSizeQuota=self._quota.bytes,
            downgradeInfo=self._downgrade.info(),
        )
        reply(backend.header(backend.revision) + response.SerializeToString())

    def move_leader(self, body: bytes, reply: Reply) -> None:
        """Serve Maintenance.MoveLeader: to the member that leads already; the response is empty, as in etcd."""
        try:
            target = pb.MoveLeaderRequest.FromString(body).targetID
        except DecodeError as error:
            reply(refusal(error))
            return
        leader = self._membership.leader if self._membership is not None else self._backend.header.member_id
        reply(b"" if target == leader else ApiError(BAD_TRANSFEREE))

    # -- hashes -------------------------------------------------------------------------------------------------

    def hash_kv(self, body: bytes, reply: Reply) -> None:
        """Serve Maintenance.HashKV: the hash is computed in slices beside other requests."""
        try:
            requested = pb.HashKVRequest.FromString(body).revision
        except DecodeError as error:
            reply(refusal(error))
            return

        async def answer() -> bytes:
            found = await self._hash(requested)
            response = pb.HashKVResponse(
                hash=found.hash, compact_revision=found.compact_revision, hash_revision=found.revision
            )
            return self._backend.header(self._backend.revision) + response.SerializeToString()

        self._backend.spawn(_reply_with(answer, reply))

    def hash(self, body: bytes, reply: Reply) -> None:
        """Serve Maintenance.Hash: over the keys and the leases, comparable between brainctl stores only."""
        del body

        async def answer() -> bytes:
            found = await self._hash(0)
            crc = found.hash
            for name, record in sorted(self._backend.records(LEASES).items()):
                crc = crc32c(name + record, crc)
            return self._backend.header(found.revision) + pb.HashResponse(hash=crc).SerializeToString()

        self._backend.spawn(_reply_with(answer, reply))

    async def _hash(self, requested: int) -> KvHash:
        """Return the hash of the history at a revision, 0 for the newest; in slices over the local engine."""
        view = self._backend.view
        if view.remote:
            return await _hash_remote(view, requested)
        return await in_slices(self._backend, hash_steps(view, requested))

    # -- space --------------------------------------------------------------------------------------------------

    def defragment(self, body: bytes, reply: Reply) -> None:
        """Serve Maintenance.Defragment: reads and writes go on meanwhile."""
        del body

        async def answer() -> bytes:
            await self._backend.defragment()
            return b""

        self._backend.spawn(_reply_with(answer, reply))

    def snapshot(self) -> AsyncIterator[bytes]:
        """Return the marshalled responses of Maintenance.Snapshot."""
        return snapshot(self._backend, self.snapshots)


async def _reply_with(answer: Callable[[], Coroutine[Any, Any, bytes]], reply: Reply) -> None:
    """Wait for an answer, and reply with it or with its error."""
    try:
        response: bytes | BrainctlError = await answer()
    except BrainctlError as error:
        response = error
    reply(response)


def _alarm_text(alarm: pb.AlarmMember) -> str:
    """Return an alarm as etcd prints it in the errors of a status."""
    member = f"memberID:{alarm.memberID} " if alarm.memberID else ""
    return f"{member}alarm:{pb.AlarmType.Name(alarm.alarm)}"


async def _hash_remote(view: AsyncView, requested: int) -> KvHash:
    """Return the hash of the history at a revision, 0 for the newest, from a view over a network.

    Raises:
        ApiError: The revision is compacted, also while it was read, or in the future.
    """
    revision = hashed_revision(requested, view.revision, view.compacted)
    compacted = view.compacted
    hasher = Hasher(compacted, revision)
    if compacted > 0:
        live = [version async for version in view.versions(b"", None, revision)] or [
            version async for version in view.versions(b"", None, compacted)
        ]
        finish(hasher.base([version for version in live if version.mod_revision <= compacted]))
    async for one in view.history(max(compacted, 0) + 1, revision):
        hasher.changes(one.changes)
    hashed_revision(revision, view.revision, view.compacted)
    return hasher.value()
