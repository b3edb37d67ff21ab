"""Alarms: the Maintenance.Alarm method, and what may not be done while one is raised.

An alarm is a small record. Under NOSPACE nothing that takes room is let in, while reads, deletes, compactions and
revokes go on, so that room can be made; under CORRUPT nothing is changed (etcd server/etcdserver/apply). NOSPACE is
raised by the first write that does not fit the quota. It is refused before it is evaluated: what is answered with an
error was not done.
"""

from collections.abc import Callable
from functools import partial

from google.protobuf.message import DecodeError

from brainctl.errors import CORRUPT, NO_SPACE, ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.node.kv import Handler, is_readonly, refusal
from brainctl.node.medium import Medium, Reply
from brainctl.node.quota import COSTS, Quota

ALARMS = b"alarm/"
"""Names of alarm records: `alarm/<member id, 16 hex>/<alarm type>`; they hold the marshalled AlarmMember."""
_TXN = "/etcdserverpb.KV/Txn"
_GROWING = {"/etcdserverpb.KV/Put", "/etcdserverpb.Lease/LeaseGrant"}
_CHANGING = _GROWING | {
    "/etcdserverpb.KV/DeleteRange",
    _TXN,
    "/etcdserverpb.KV/Compact",
    "/etcdserverpb.Lease/LeaseRevoke",
}


class AlarmService:
    """The alarms of a store."""

    def __init__(self, medium: Medium, quota: Quota) -> None:
        self._medium = medium
        self._quota = quota
        self._raised = self._types()
        medium.subscribe(self._publish)

    def handlers(self) -> dict[str, Handler]:
        """By path."""
        return {"/etcdserverpb.Maintenance/Alarm": self.alarm}

    def alarms(self) -> list[pb.AlarmMember]:
        """The alarms that are raised."""
        return [pb.AlarmMember.FromString(record) for record in self._medium.records(ALARMS).values()]

    def guard(self, handlers: dict[str, Handler]) -> dict[str, Handler]:
        """The same handlers, but those that change the store refuse what an alarm or the quota forbids."""
        guarded = {path: partial(self._serve, path, handlers[path]) for path in _CHANGING & handlers.keys()}
        return handlers | guarded

    def alarm(self, body: bytes, reply: Reply) -> None:
        """Maintenance.Alarm: list, raise or clear alarms."""
        try:
            request = pb.AlarmRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        match request.action:
            case pb.AlarmRequest.ACTIVATE if request.alarm != pb.NONE:
                self._medium.submit(_activate, request, reply)
            case pb.AlarmRequest.DEACTIVATE:
                self._medium.submit(_deactivate, request, reply)
            case pb.AlarmRequest.GET:
                wanted = [alarm for alarm in self.alarms() if request.alarm in (pb.NONE, alarm.alarm)]
                reply(_response(self._medium.header(self._medium.revision), *wanted))
            case _:
                reply(self._medium.header(self._medium.revision))

    def _types(self) -> set[int]:
        return {alarm.alarm for alarm in self.alarms()}

    def _publish(self, commit: Commit) -> None:
        if any(name.startswith(ALARMS) for name in commit.meta):
            self._raised = self._types()

    def _serve(self, path: str, handler: Handler, body: bytes, reply: Reply) -> None:
        if self._raised and (error := self._forbids(path, body)) is not None:
            reply(error)
        elif path in COSTS and not self._quota.admits(path, body):
            self._raise_no_space(reply)
        else:
            handler(body, reply)

    def _forbids(self, path: str, body: bytes) -> ApiError | None:
        if pb.CORRUPT in self._raised and (path != _TXN or _txn_is(body, _writes)):
            return ApiError(CORRUPT)
        if pb.NOSPACE in self._raised and (path in _GROWING or (path == _TXN and _txn_is(body, _puts))):
            return ApiError(NO_SPACE)
        return None

    def _raise_no_space(self, reply: Reply) -> None:
        """Refuse a write for want of room, once the alarm is durable."""
        request = pb.AlarmRequest(alarm=pb.NOSPACE, memberID=self._medium.header.member_id)

        def settle(answer: bytes | BrainctlError) -> None:
            reply(answer if isinstance(answer, BrainctlError) else ApiError(NO_SPACE))

        self._medium.submit(_activate, request, settle)


def _txn_is(body: bytes, test: Callable[[pb.TxnRequest], bool]) -> bool:
    try:
        return test(pb.TxnRequest.FromString(body))
    except DecodeError:
        return False  # the handler says so


def _writes(txn: pb.TxnRequest) -> bool:
    return not is_readonly(txn)


def _puts(txn: pb.TxnRequest) -> bool:
    return any(
        operation.HasField("request_put") or (operation.HasField("request_txn") and _puts(operation.request_txn))
        for operations in (txn.success, txn.failure)
        for operation in operations
    )


def _record_name(request: pb.AlarmRequest) -> bytes:
    return b"%b%016x/%d" % (ALARMS, request.memberID, request.alarm)


def _activate(batch: Batch, request: pb.AlarmRequest) -> bytes:
    alarm = pb.AlarmMember(memberID=request.memberID, alarm=request.alarm)
    name = _record_name(request)
    if batch.record(name) is None:
        batch.set_record(name, alarm.SerializeToString())
    return _response(batch.header(batch.revision), alarm)


def _deactivate(batch: Batch, request: pb.AlarmRequest) -> bytes:
    name = _record_name(request)
    record = batch.record(name)
    if record is None:
        return batch.header(batch.revision)
    batch.set_record(name, None)
    return _response(batch.header(batch.revision), pb.AlarmMember.FromString(record))


def _response(header: bytes, *alarms: pb.AlarmMember) -> bytes:
    return header + pb.AlarmResponse(alarms=alarms).SerializeToString()
