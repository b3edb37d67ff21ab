"""The Lease service: grants and revokes are writes; keeping alive is not, and time to live is a look.

Which keys hang on leases is found beside the requests after a store was opened; until then revokes wait.
"""

import logging
import random
from collections.abc import Callable, Iterator
from functools import partial
from inspect import iscoroutinefunction
from itertools import islice
from typing import cast

from google.protobuf.message import DecodeError

from brainctl.clock import Clock
from brainctl.errors import LEASE_NOT_FOUND, STOPPED, TIMEOUT, ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch, lease_record
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.lessor import LEASES, Lessor, grant, revoke
from brainctl.mvcc.steps import Steps, finish
from brainctl.mvcc.view import AsyncView, KnowsLeased, View
from brainctl.mvcc.weight import LONG_KEYS
from brainctl.node.backend import Backend, Reply
from brainctl.node.handler import Handler, refusal
from brainctl.wire.varint import varint

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
REVOKES_PER_TICK = 500
"""etcd revokes at most 1000 expired leases per second."""
_REVOKE_COST = 10
"""What revoking a lease costs beside its keys, in keys."""
RETRY_SECONDS = 1.0
"""How long to wait after the backend could not be read."""
RECOVER_KEYS = 5000
"""How many keys one step of finding attached keys looks at."""


class LeaseService:
    """Lease.LeaseGrant, LeaseRevoke, LeaseKeepAlive, LeaseTimeToLive and LeaseLeases over a backend."""

    def __init__(self, backend: Backend, clock: Clock, rng: random.Random | None = None) -> None:
        self._backend = backend
        self._rng = rng or random.SystemRandom()
        self._ticking = False
        self._leads = backend.leads
        self._when_recovered: list[Callable[[], None]] = []
        self.lessor = Lessor(clock)
        self.lessor.load(backend.records(LEASES))
        self.expired = 0
        """Leases that were revoked because their time was over."""
        backend.subscribe(self._publish, self._publish_steps)
        if self.lessor.recovering:
            self._recover()
        self._tick_later()

    def handlers(self) -> dict[str, Handler]:
        """By path."""
        return {
            "/etcdserverpb.Lease/LeaseGrant": self.grant,
            "/etcdserverpb.Lease/LeaseRevoke": self.revoke,
            "/etcdserverpb.Lease/LeaseTimeToLive": self.time_to_live,
            "/etcdserverpb.Lease/LeaseLeases": self.leases,
        }

    def grant(self, body: bytes, reply: Reply) -> None:
        """Lease.LeaseGrant."""
        try:
            request = pb.LeaseGrantRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._backend.submit(self._grant, request, reply)

    def revoke(self, body: bytes, reply: Reply, check: Callable[[Batch, int], None] | None = None) -> None:
        """Lease.LeaseRevoke; `check` may refuse it where it is evaluated."""
        try:
            request = pb.LeaseRevokeRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._revoke(request.ID, reply, check)

    def when_recovered(self, action: Callable[[], None]) -> None:
        """Act once it is known which keys hang on leases."""
        if self.lessor.recovering:
            self._when_recovered.append(action)
        else:
            action()

    def keep_alive(self, body: bytes, reply: Reply) -> None:
        """One exchange of Lease.LeaseKeepAlive; a TTL of 0 says that the lease is gone."""
        try:
            request = pb.LeaseKeepAliveRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._as_leader(partial(self._keep_alive, request.ID, reply), reply)

    def _keep_alive(self, lease: int, reply: Reply) -> None:
        # The header is older than the answer: a client must not see the lease alive at a revision that revoked it.
        header = self._backend.header(self._backend.revision)

        def answer(ttl: int) -> None:
            reply(_lease_response(header, lease, ttl))

        self._count_time()
        self.lessor.keep_alive(lease, answer)

    def time_to_live(self, body: bytes, reply: Reply) -> None:
        """Lease.LeaseTimeToLive; a TTL of -1 says that there is no such lease."""
        try:
            request = pb.LeaseTimeToLiveRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        look = partial(self._time_to_live, request, reply)
        self._as_leader(partial(self.when_recovered, look) if request.keys else look, reply)

    def leases(self, body: bytes, reply: Reply) -> None:
        """Lease.LeaseLeases."""
        del body
        response = pb.LeaseLeasesResponse(leases=[pb.LeaseStatus(ID=lease.id) for lease in self.lessor.leases()])
        reply(self._backend.header(self._backend.revision) + response.SerializeToString())

    def _as_leader(self, act: Callable[[], None], reply: Reply) -> None:
        """Do what only the process that writes can do; one that cannot become it answers why not."""
        self._follow_lead()
        if self._leads:
            act()
            return

        def settle(answer: bytes | BrainctlError) -> None:
            if isinstance(answer, BrainctlError):
                reply(answer)
            else:
                self._follow_lead()
                act()

        self._backend.submit(_nothing, pb.LeaseKeepAliveRequest(), settle)

    def _follow_lead(self) -> None:
        leads = self._backend.leads
        if leads and not self._leads:
            self.lessor.keep_all_alive()
        self._leads = leads

    def _time_to_live(self, request: pb.LeaseTimeToLiveRequest, reply: Reply) -> None:
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
        self._ticking = False
        self._follow_lead()
        if self._leads and not self.lessor.recovering:
            self._count_time()
            self._revoke_some(self.lessor.expired(REVOKES_PER_TICK))
        else:
            self._tick_later()

    def _count_time(self) -> None:
        """Time in which nobody was heard is not counted against a lease: what keeps it alive may wait to be read."""
        self.lessor.leave_out(self._backend.deaf_seconds())

    def _revoke_some(self, expired: list[int]) -> None:
        """Revoke leases, as many in a turn as have few keys together."""
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
        """Find the keys that hang on leases, beside the requests; a revoke waits for it."""
        view = self._backend.view
        if iscoroutinefunction(view.get):
            self._backend.spawn(self._recover_remote(cast("AsyncView", view)))
        elif isinstance(view, KnowsLeased):
            self._recover_leased(view.leased())
        else:
            self._recover_step(cast("View", view), b"")

    def _recover_leased(self, versions: Iterator[KeyVersion]) -> None:
        found = list(islice(versions, RECOVER_KEYS))
        self.lessor.recover(found)
        if len(found) < RECOVER_KEYS:
            self._recovered()
        else:
            self._backend.call_later(0, partial(self._recover_leased, versions))

    def _recover_step(self, view: View, start: bytes) -> None:
        versions: Iterator[KeyVersion] = view.versions(start, None, 0)
        found = list(islice(versions, RECOVER_KEYS))
        self.lessor.recover(found)
        if len(found) < RECOVER_KEYS:
            self._recovered()
        else:
            self._backend.call_later(0, partial(self._recover_step, view, found[-1].key + b"\0"))

    async def _recover_remote(self, view: AsyncView) -> None:
        try:
            async for version in view.versions(b"", None, 0):
                self.lessor.recover((version,))
        except BrainctlError as error:
            _log.warning("keys with leases cannot be read, trying again: %s", error)
            self._backend.call_later(RETRY_SECONDS, self._recover)
        else:
            self._recovered()

    def _recovered(self) -> None:
        self.lessor.recovered()
        waiting, self._when_recovered = self._when_recovered, []
        for action in waiting:
            action()


def _revoke_steps(batch: Batch, lease: int, keys: set[bytes]) -> Steps[bytes]:
    yield from revoke(batch, lease, keys)
    return batch.header(batch.revision)


def _nothing(batch: Batch, request: pb.LeaseKeepAliveRequest) -> bytes:
    """A write that changes nothing; it succeeds where others would."""
    del batch, request
    return b""


def _lease_response(header: bytes, lease: int, ttl: int) -> bytes:
    """A LeaseGrantResponse or LeaseKeepAliveResponse: header, ID = 2, TTL = 3."""
    return b"%b\x10%b%b" % (header, varint(lease), b"\x18" + varint(ttl) if ttl else b"")


def _check_unchanged(batch: Batch, lease: int) -> None:
    """Refuse to revoke a lease that is revoked already, and perhaps granted anew, by a write that is under way."""
    changing, _ = batch.staged.record(lease_record(lease))
    if changing:
        raise ApiError(LEASE_NOT_FOUND)


def _expired(lease: int, answer: bytes | BrainctlError) -> None:
    if isinstance(answer, BrainctlError):  # tried again after a while
        refused = isinstance(answer, ApiError) and answer.status not in (LEASE_NOT_FOUND, TIMEOUT, STOPPED)
        level = logging.WARNING if refused else logging.DEBUG  # of a store in trouble the backend tells
        _log.log(level, "lease %016x has expired and could not be revoked: %s", lease, answer)
