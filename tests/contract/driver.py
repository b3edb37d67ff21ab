"""A store as the contract tests drive it: one call at a time, in the test's own thread, in few words."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Self, TypeVar

from brainctl.errors import ApiError, Status
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

Answer = TypeVar("Answer")
SECONDS = 120.0


def after(prefix: bytes) -> bytes:
    """The end of the range of all keys with a prefix that does not end in 0xff."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


class Driver:
    """Blocking calls; every failure of the API comes back as ApiError."""

    def __init__(self, store: Store, runner: asyncio.Runner) -> None:
        self.store = store
        self.runner = runner

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(asyncio.wait_for(work, SECONDS))

    @property
    def revision(self) -> int:
        """The store's current revision."""
        return self.get(b"\0").header.revision

    def put(self, key: bytes, value: bytes = b"", **fields: Any) -> pb.PutResponse:
        return self.run(self.store.put(pb.PutRequest(key=key, value=value, **fields)))

    def get(self, key: bytes, end: bytes = b"", **fields: Any) -> pb.RangeResponse:
        return self.run(self.store.range(pb.RangeRequest(key=key, range_end=end, **fields)))

    def delete(self, key: bytes, end: bytes = b"", **fields: Any) -> pb.DeleteRangeResponse:
        return self.run(self.store.delete_range(pb.DeleteRangeRequest(key=key, range_end=end, **fields)))

    def txn(
        self,
        compare: Sequence[pb.Compare] = (),
        success: Sequence[pb.RequestOp] = (),
        failure: Sequence[pb.RequestOp] = (),
    ) -> pb.TxnResponse:
        return self.run(self.store.txn(pb.TxnRequest(compare=compare, success=success, failure=failure)))

    def compact(self, revision: int, *, physical: bool = True) -> pb.CompactionResponse:
        return self.run(self.store.compact(pb.CompactionRequest(revision=revision, physical=physical)))

    def grant(self, ttl: int, lease: int = 0) -> pb.LeaseGrantResponse:
        return self.run(self.store.lease_grant(pb.LeaseGrantRequest(TTL=ttl, ID=lease)))

    def revoke(self, lease: int) -> pb.LeaseRevokeResponse:
        return self.run(self.store.lease_revoke(pb.LeaseRevokeRequest(ID=lease)))

    def keep_alive(self, lease: int) -> pb.LeaseKeepAliveResponse:
        return self.run(self.store.lease_keep_alive(lease))

    def time_to_live(self, lease: int, *, keys: bool = False) -> pb.LeaseTimeToLiveResponse:
        return self.run(self.store.lease_time_to_live(pb.LeaseTimeToLiveRequest(ID=lease, keys=keys)))

    def leases(self) -> list[int]:
        return [lease.ID for lease in self.run(self.store.leases()).leases]

    def status_of(self, call: Coroutine[Any, Any, Answer]) -> Status:
        """The status with which a call is refused."""
        try:
            answer = self.run(call)
        except ApiError as error:
            return error.status
        raise AssertionError(f"not refused: {answer}")

    def watch(self) -> "Watch":
        return Watch(self)


class Watch:
    """One watch stream; a context manager."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.requests: asyncio.Queue[pb.WatchRequest | None] = asyncio.Queue()
        self.responses = driver.store.watch(self._sent())

    async def _sent(self) -> AsyncIterator[pb.WatchRequest]:
        while (request := await self.requests.get()) is not None:
            yield request

    def create(self, key: bytes, end: bytes = b"", **fields: Any) -> pb.WatchResponse:
        """Ask for a watcher and return the first answer, which must be its creation (or refusal)."""
        create = pb.WatchCreateRequest(key=key, range_end=end, **fields)
        self.requests.put_nowait(pb.WatchRequest(create_request=create))
        return self.next()

    def cancel(self, watch_id: int) -> None:
        self.requests.put_nowait(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id)))

    def ask_progress(self) -> None:
        self.requests.put_nowait(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    def next(self) -> pb.WatchResponse:
        return self.driver.run(anext(self.responses))  # type: ignore[arg-type]

    def events(self, number: int) -> list[kv_pb2.Event]:
        """The next `number` events, from as many responses as they come in."""
        found: list[kv_pb2.Event] = []
        while len(found) < number:
            found += self.next().events
        assert len(found) == number
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.requests.put_nowait(None)
        self.driver.run(self.responses.aclose())  # type: ignore[attr-defined]


def put(key: bytes, value: bytes = b"", **fields: Any) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, **fields))


def get(key: bytes, end: bytes = b"", **fields: Any) -> pb.RequestOp:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key, range_end=end, **fields))


def delete(key: bytes, end: bytes = b"", **fields: Any) -> pb.RequestOp:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, range_end=end, **fields))


def txn(
    compare: Sequence[pb.Compare] = (),
    success: Sequence[pb.RequestOp] = (),
    failure: Sequence[pb.RequestOp] = (),
) -> pb.RequestOp:
    return pb.RequestOp(request_txn=pb.TxnRequest(compare=compare, success=success, failure=failure))


def is_version(key: bytes, version: int, end: bytes = b"", result: Any = pb.Compare.EQUAL) -> pb.Compare:
    return pb.Compare(key=key, range_end=end, target=pb.Compare.VERSION, result=result, version=version)


def is_value(key: bytes, value: bytes, end: bytes = b"", result: Any = pb.Compare.EQUAL) -> pb.Compare:
    return pb.Compare(key=key, range_end=end, target=pb.Compare.VALUE, result=result, value=value)
