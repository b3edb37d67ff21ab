"""The Lease service: grants and revokes are writes; keeping alive and time to live only read and set timers.

After a store was opened, the keys attached to leases are collected beside the requests; until that is finished,
revokes wait.

Example: LeaseGrant(ID=7, TTL=60) is a group commit with the record of lease 7. A put with lease 7 attaches its key.
LeaseKeepAlive restarts the 60 seconds in memory, without a write. When they are over, a tick (every TICK_SECONDS)
revokes the lease: one transaction deletes the record and the attached keys.
"""

import logging
import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from google.protobuf.message import DecodeError

from brainctl.clock import Clock
from brainctl.errors import LEASE_NOT_FOUND, STOPPED, TIMEOUT, ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.log import Fact
from brainctl.mvcc.batch import Batch, lease_record
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.lessor import LEASES, Lessor, grant, revoke
from brainctl.mvcc.steps import Steps, finish
from brainctl.mvcc.view import AsyncView, View
from brainctl.mvcc.weight import LONG_KEYS
from brainctl.node.backend import Backend, Reply
from brainctl.node.handler import Handler, refusal
from brainctl.wire.varint import varint

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""Seconds between two looks for expired leases."""
REVOKES_PER_TICK = 500
"""The most leases that one tick revokes: etcd revokes at most 1000 expired leases per second."""
_REVOKE_COST = 10
"""The cost of revoking a lease beside that of its keys, in keys."""
RETRY_SECONDS = 1.0
"""Seconds to wait after the backend could not be read."""
RECOVER_KEYS = 5000
"""The keys that one step of collecting attached keys reads."""


class LeaseService:
    """Lease.LeaseGrant, LeaseRevoke, LeaseKeepAlive, LeaseTimeToLive and LeaseLeases over a backend."""

    def __init__(self, backend: Backend, clock: Clock, rng: random.Random | None = None) -> None:
        self._backend = backend
        self._rng = rng or random.SystemRandom()
        self._ticking = False
        self._term = backend.term
        self._when_recovered: list[Callable[[], None]] = []
        self.lessor = Lessor(clock)
        self.lessor.load(backend.records(LEASES))
        self.expired = 0
        """Number of leases that were revoked because their time was over."""
        backend.subscribe(self._publish, self._publish_steps)
        if self.lessor.recovering:
            self._recover()
        self._tick_later()

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path."""
        return {
            "/etcdserverpb.Lease/LeaseGrant": self.grant,
            "/etcdserverpb.Lease/LeaseRevoke": self.revoke,
            "/etcdserverpb.Lease/LeaseTimeToLive": self.time_to_live,
            "/etcdserverpb.Lease/LeaseLeases": self.leases,
        }

    def grant(self, body: bytes, reply: Reply) -> None:
        """Serve Lease.LeaseGrant: answer once the lease is durable."""
        try:
            request = pb.LeaseGrantRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._backend.submit(self._grant, request, reply)

    def revoke(self, body: bytes, reply: Reply, check: Callable[[Batch, int], None] | None = None) -> None:
        """Serve Lease.LeaseRevoke: delete the lease and its keys, and answer once that is durable.

        Args:
            body: The marshalled LeaseRevokeRequest.
            reply: Receives the response or the error.
            check: Is called when the revoke is evaluated, and may raise ApiError to refuse it.
        """
        try:
            request = pb.LeaseRevokeRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._revoke(request.ID, reply, check)

    def when_recovered(self, action: Callable[[], None]) -> None:
        """Call `action` once it is known which keys are attached to leases."""
        if self.lessor.recovering:
            self._when_recovered.append(action)
        else:
            action()

    def keep_alive(self, body: bytes, reply: Reply) -> None:
        """Serve one exchange of Lease.LeaseKeepAlive: a TTL of 0 in the response says that the lease does not exist."""
        try:
            request = pb.LeaseKeepAliveRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._as_leader(partial(self._keep_alive, request.ID, reply), reply)

    def _keep_alive(self, lease: int, reply: Reply) -> None:
        """Renew a lease in memory, and reply with its TTL; 0 when it does not exist."""
        # Take the header before the answer: a client must not see the lease alive at the revision that revoked it.
        header = self._backend.header(self._backend.revision)

        def answer(ttl: int) -> None:
            reply(_lease_response(header, lease, ttl))

        self._count_time()
        self.lessor.keep_alive(lease, answer)

    def time_to_live(self, body: bytes, reply: Reply) -> None:
        """Serve Lease.LeaseTimeToLive: a TTL of -1 in the response says that the lease does not exist."""
        try:
            request = pb.LeaseTimeToLiveRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        look = partial(self._time_to_live, request, reply)
        self._as_leader(partial(self.when_recovered, look) if request.keys else look, reply)

    def leases(self, body: bytes, reply: Reply) -> None:
        """Serve Lease.LeaseLeases: all leases."""
        del body
        response = pb.LeaseLeasesResponse(leases=[pb.LeaseStatus(ID=lease.id) for lease in self.lessor.leases()])
        reply(self._backend.header(self._backend.revision) + response.SerializeToString())

    def _as_leader(self, act: Callable[[], None], reply: Reply) -> None:
        """Do what only the process that writes can do; a process that cannot become it answers with the error."""
        if self._follow_lead():
            act()
            return

        def settle(answer: bytes | BrainctlError) -> None:
            if isinstance(answer, BrainctlError):
                reply(answer)
            else:
                self._follow_lead()
                act()

        self._backend.submit(_nothing, pb.LeaseKeepAliveRequest(), settle)

    def _follow_lead(self) -> bool:
        """Return whether this process writes, for certain; one that has taken the lead since gives all leases their
        whole TTL.
        """
        term = self._backend.term
        if term and term != self._term:
            self.lessor.keep_all_alive()
            self._term = term
        return term != 0

    def _time_to_live(self, request: pb.LeaseTimeToLiveRequest, reply: Reply) -> None:
        """Reply with the remaining and the granted TTL, and the attached keys if requested."""
        response = pb.LeaseTimeToLiveResponse(ID=request.ID, TTL=-1)
        self._count_time()
        lease = self.lessor.get(request.ID)
        if lease is not None:
            response.TTL = self.lessor.remaining(lease)
            response.grantedTTL = lease.ttl
            if request.keys:
                response.keys.extend(sorted(self.lessor.attached(lease.id)))
        reply(self._backend.header(self._backend.revision) + response.SerializeToString())

    # -- writes -------------------------------------------------------------------------------------------------

    def _grant(self, batch: Batch, request: pb.LeaseGrantRequest) -> bytes:
        lease = request.ID or self._free_id(batch)
        ttl = grant(batch, lease, request.TTL)
        return _lease_response(batch.header(batch.revision), lease, ttl)

    def _free_id(self, batch: Batch) -> int:
        """Return a random id that no lease has."""
        while True:
            lease = self._rng.getrandbits(63)
            if lease and batch.record(lease_record(lease)) is None:
                return lease

    def _revoke(self, lease: int, reply: Reply, check: Callable[[Batch, int], None] | None = None) -> None:
        evaluate = partial(self._evaluate_revoke, check)
        self.when_recovered(partial(self._backend.submit, evaluate, pb.LeaseRevokeRequest(ID=lease), reply))

    def _evaluate_revoke(
        self, check: Callable[[Batch, int], None] | None, batch: Batch, request: pb.LeaseRevokeRequest
    ) -> bytes | Steps[bytes]:
        """Stage the deletion of a lease and its keys; in steps when these are many."""
        if check is not None:
            check(batch, request.ID)
        keys = self.lessor.attached(request.ID)
        steps = _revoke_steps(batch, request.ID, keys)
        return steps if batch.slices and len(keys) > LONG_KEYS else finish(steps)

    # -- time ---------------------------------------------------------------------------------------------------

    def _publish(self, commit: Commit) -> None:
        self.lessor.publish(commit)
        self._tick_later()

    def _publish_steps(self, commit: Commit) -> Steps[None]:
        yield from self.lessor.publish_steps(commit)
        self._tick_later()

    def _tick_later(self) -> None:
        if not self._ticking and len(self.lessor):
            self._ticking = True
            self._backend.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        """Revoke expired leases, if this process writes and the attached keys are known."""
        self._ticking = False
        if self._follow_lead() and not self.lessor.recovering:
            self._count_time()
            self._revoke_some(self.lessor.expired(REVOKES_PER_TICK))
        else:
            self._tick_later()

    def _count_time(self) -> None:
        """Leave out of the lifetimes the seconds in which no connection was read: a keep-alive may be waiting there."""
        self.lessor.leave_out(self._backend.deaf_seconds())

    def _revoke_some(self, expired: list[int]) -> None:
        """Revoke expired leases, per turn of the event loop as many as have about LONG_KEYS keys together."""
        left = LONG_KEYS
        while expired and left > 0:
            lease = expired.pop(0)
            left -= _REVOKE_COST + self.lessor.attachments(lease)
            self._revoke(lease, partial(self._revoked, lease), _check_unchanged)
        if expired:
            self._backend.call_later(0, partial(self._revoke_some, expired))
        else:
            self._tick_later()

    def _revoked(self, lease: int, answer: bytes | BrainctlError) -> None:
        if not isinstance(answer, BrainctlError):
            self.expired += 1
        _expired(lease, answer)

    # -- opening ------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Collect the keys attached to leases, beside the requests."""
        view = self._backend.view
        if view.remote:
            self._backend.spawn(self._recover_remote(view))
        elif (leased := view.leased()) is not None:
            self._recover_leased(leased)
        else:
            self._recover_step(view, b"")

    def _recover_leased(self, versions: Iterator[KeyVersion]) -> None:
        """Take the next RECOVER_KEYS versions with leases of a view that lists these; go on in the next turn."""
        found = list(islice(versions, RECOVER_KEYS))
        self.lessor.recover(found)
        if len(found) < RECOVER_KEYS:
            self._recovered()
        else:
            self._backend.call_later(0, partial(self._recover_leased, versions))

    def _recover_step(self, view: View, start: bytes) -> None:
        """Take the next RECOVER_KEYS versions of all keys; go on in the next turn."""
        versions: Iterator[KeyVersion] = view.versions(start, None, 0)
        found = list(islice(versions, RECOVER_KEYS))
        self.lessor.recover(found)
        if len(found) < RECOVER_KEYS:
            self._recovered()
        else:
            self._backend.call_later(0, partial(self._recover_step, view, found[-1].key + b"\0"))

    async def _recover_remote(self, view: AsyncView) -> None:
        """Take all versions over a network; after a failure start again RETRY_SECONDS later."""
        try:
            async for version in view.versions(b"", None, 0):
                self.lessor.recover((version,))
        except BrainctlError as error:
            _log.warning(Fact("reading the keys with leases is tried again", error=error))
            self._backend.call_later(RETRY_SECONDS, self._recover)
        else:
            self._recovered()

    def _recovered(self) -> None:
        """Release what has waited until the attached keys are known."""
        self.lessor.recovered()
        waiting, self._when_recovered = self._when_recovered, []
        for action in waiting:
            action()


def _revoke_steps(batch: Batch, lease: int, keys: set[bytes]) -> Steps[bytes]:
    yield from revoke(batch, lease, keys)
    return batch.header(batch.revision)


def _nothing(batch: Batch, request: pb.LeaseKeepAliveRequest) -> bytes:
    """Stage nothing; the write succeeds when other writes would."""
    del batch, request
    return b""


def _lease_response(header: bytes, lease: int, ttl: int) -> bytes:
    """Return a marshalled LeaseGrantResponse or LeaseKeepAliveResponse: header, ID = 2, TTL = 3."""
    return b"%b\x10%b%b" % (header, varint(lease), b"\x18" + varint(ttl) if ttl else b"")


def _check_unchanged(batch: Batch, lease: int) -> None:
    """Refuse to revoke a lease that a write in flight has already revoked, and perhaps granted anew.

    Raises:
        ApiError: The record of the lease is being changed.
    """
    changing, _ = batch.staged.record(lease_record(lease))
    if changing:
        raise ApiError(LEASE_NOT_FOUND)


def _expired(lease: int, answer: bytes | BrainctlError) -> None:
    """Log why an expired lease could not be revoked."""
    if isinstance(answer, BrainctlError):  # the revoke is tried again after a while
        refused = isinstance(answer, ApiError) and answer.status not in (LEASE_NOT_FOUND, TIMEOUT, STOPPED)
        level = logging.WARNING if refused else logging.DEBUG  # a store in trouble is logged by its backend
        _log.log(level, Fact("a lease has expired and could not be revoked", lease=f"{lease:016x}", error=answer))
