"""Alarms: the Maintenance.Alarm method, and what is refused while an alarm is raised.

An alarm is a small record. Under NOSPACE writes that take room are refused, while reads, deletes, compactions and
revokes go on, so that room can be made; under CORRUPT all changes are refused (etcd server/etcdserver/apply). NOSPACE
is raised by the first write that does not fit the quota. That write is refused before it is evaluated: what is answered
with an error was not done.
"""

from functools import partial

from google.protobuf.message import DecodeError, Message

from brainctl.errors import CORRUPT, NO_SPACE, ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.requests import check_delete, check_put
from brainctl.mvcc.steps import Steps
from brainctl.node.backend import Backend, Evaluate, Reply
from brainctl.node.handler import Handler, KvBackend, refusal
from brainctl.node.quota import COSTS, Quota

ALARMS = b"alarm/"
"""The prefix of alarm records: `alarm/<member id, 16 hex>/<alarm type>` holds the marshalled AlarmMember."""
_GRANT = "/etcdserverpb.Lease/LeaseGrant"
_REVOKE = "/etcdserverpb.Lease/LeaseRevoke"


class AlarmService:
    """The alarms of a store."""

    def __init__(self, backend: Backend, quota: Quota) -> None:
        self._backend = backend
        self._quota = quota
        self.raised = self._types()
        """The types of the raised alarms, durable ones only."""
        backend.subscribe(self._publish)

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path."""
        return {"/etcdserverpb.Maintenance/Alarm": self.alarm}

    def alarms(self) -> list[pb.AlarmMember]:
        """Return the raised alarms."""
        return [pb.AlarmMember.FromString(record) for record in self._backend.records(ALARMS).values()]

    def guard(self, handlers: dict[str, Handler]) -> dict[str, Handler]:
        """Return guarded handlers: the quota refuses what has no room, and alarms refuse what changes leases.

        Changes of keys that an alarm forbids are refused by `AlarmedBackend`.
        """
        guarded = dict(handlers)
        for path in (_GRANT, _REVOKE):
            if path in guarded:
                guarded[path] = partial(self._serve_lease, path, guarded[path])
        for path in COSTS.keys() & guarded.keys():
            guarded[path] = self._within_quota(path, guarded[path])
        return guarded

    def takes_burst(self, longest: int) -> bool:
        """Return whether puts of at most `longest` bytes need no check each: no alarm is raised, and there is room."""
        return not self.raised and longest <= self._quota.short

    def evaluate(self, evaluate: Evaluate, batch: Batch, request: Message) -> bytes | Steps[bytes]:
        """Evaluate a write of keys unless an alarm forbids it; a malformed request is refused as malformed first."""
        match request:
            case pb.PutRequest():
                check_put(request)
                self._check(grows=True)
            case pb.DeleteRangeRequest():
                check_delete(request)
                self._check(grows=False)
            case pb.TxnRequest():
                self._check(grows=_puts(request))
            case _:
                self._check(grows=False)
        return evaluate(batch, request)

    def alarm(self, body: bytes, reply: Reply) -> None:
        """Serve Maintenance.Alarm: list, raise or clear alarms."""
        try:
            request = pb.AlarmRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        match request.action:
            case pb.AlarmRequest.ACTIVATE if request.alarm != pb.NONE:
                self._backend.submit(_activate, request, reply)
            case pb.AlarmRequest.DEACTIVATE:
                self._backend.submit(_deactivate, request, reply)
            case pb.AlarmRequest.GET:
                wanted = [alarm for alarm in self.alarms() if request.alarm in (pb.NONE, alarm.alarm)]
                reply(_response(self._backend.header(self._backend.revision), *wanted))
            case _:
                reply(self._backend.header(self._backend.revision))

    def _types(self) -> set[int]:
        return {alarm.alarm for alarm in self.alarms()}

    def _publish(self, commit: Commit) -> None:
        if commit.meta and any(name.startswith(ALARMS) for name in commit.meta):
            self.raised = self._types()

    def _within_quota(self, path: str, handler: Handler) -> Handler:
        """Return a handler that refuses a request without room, and raises NOSPACE."""
        quota = self._quota

        def serve(body: bytes, reply: Reply) -> None:
            if len(body) <= quota.short or quota.admits(path, body):
                handler(body, reply)
            else:
                self._raise_no_space(reply)

        return serve

    def _serve_lease(self, path: str, handler: Handler, body: bytes, reply: Reply) -> None:
        """Serve a grant or a revoke, unless an alarm forbids it."""
        try:
            self._check(grows=path == _GRANT)
        except ApiError as error:
            reply(error)
        else:
            handler(body, reply)

    def _check(self, *, grows: bool) -> None:
        """Check that no alarm forbids a change.

        Args:
            grows: Whether the change takes room.

        Raises:
            ApiError: CORRUPT is raised, or NOSPACE and the change takes room.
        """
        if pb.CORRUPT in self.raised:
            raise ApiError(CORRUPT)
        if grows and pb.NOSPACE in self.raised:
            raise ApiError(NO_SPACE)

    def corrupt(self) -> None:
        """Raise the alarm CORRUPT: all changes are refused until an operator disarms it."""
        request = pb.AlarmRequest(alarm=pb.CORRUPT, memberID=self._backend.header.member_id)
        self._backend.submit(_activate, request, lambda _: None)

    def _raise_no_space(self, reply: Reply) -> None:
        """Refuse a write for want of room, once the alarm NOSPACE is durable."""
        request = pb.AlarmRequest(alarm=pb.NOSPACE, memberID=self._backend.header.member_id)

        def settle(answer: bytes | BrainctlError) -> None:
            reply(answer if isinstance(answer, BrainctlError) else ApiError(NO_SPACE))

        self._backend.submit(_activate, request, settle)


class AlarmedBackend:
    """A backend for requests on keys that refuses what a raised alarm forbids."""

    def __init__(self, backend: KvBackend, alarms: AlarmService) -> None:
        self._backend = backend
        self._alarms = alarms
        self.read = backend.read
        self.range = backend.range

    def submit(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """Queue a write; alarms are checked where it is evaluated, after permissions."""
        if self._alarms.raised:
            evaluate = partial(self._alarms.evaluate, evaluate)
        self._backend.submit(evaluate, request, reply)


def _puts(txn: pb.TxnRequest) -> bool:
    """Return whether a transaction has a put in either branch, also in nested transactions."""
    return any(
        operation.HasField("request_put") or (operation.HasField("request_txn") and _puts(operation.request_txn))
        for operations in (txn.success, txn.failure)
        for operation in operations
    )


def _record_name(request: pb.AlarmRequest) -> bytes:
    return b"%b%016x/%d" % (ALARMS, request.memberID, request.alarm)


def _activate(batch: Batch, request: pb.AlarmRequest) -> bytes:
    """Stage an alarm that is not raised yet, and return the marshalled AlarmResponse."""
    alarm = pb.AlarmMember(memberID=request.memberID, alarm=request.alarm)
    name = _record_name(request)
    if batch.record(name) is None:
        batch.set_record(name, alarm.SerializeToString())
    return _response(batch.header(batch.revision), alarm)


def _deactivate(batch: Batch, request: pb.AlarmRequest) -> bytes:
    """Stage the end of an alarm, and return the marshalled AlarmResponse; without alarms when it was not raised."""
    name = _record_name(request)
    record = batch.record(name)
    if record is None:
        return batch.header(batch.revision)
    batch.set_record(name, None)
    return _response(batch.header(batch.revision), pb.AlarmMember.FromString(record))


def _response(header: bytes, *alarms: pb.AlarmMember) -> bytes:
    return header + pb.AlarmResponse(alarms=alarms).SerializeToString()
