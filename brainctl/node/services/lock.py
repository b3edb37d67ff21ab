"""The v3lock service: a lock is a key under its name, and belongs to the oldest one (etcd client/v3/concurrency).

The keys are those that etcd's own clients write, `<name>/<lease in hex>`, so that both can share a lock.
"""

from collections.abc import AsyncIterator

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import v3lock_pb2 as lockpb
from brainctl.mvcc.prefix import prefix_end
from brainctl.node.in_process_client import InProcessClient, Serve, await_turn, grant_session, parse, unknown

_KV = "/etcdserverpb.KV/"


class LockService:
    """Lock.Lock and Lock.Unlock."""

    def streams(self) -> dict[str, Serve]:
        """By path."""
        return {"/v3lockpb.Lock/Lock": self.lock, "/v3lockpb.Lock/Unlock": self.unlock}

    async def lock(self, caller: InProcessClient, body: bytes) -> AsyncIterator[bytes]:
        """Lock.Lock: wait for all that came before; a caller that goes away leaves the queue."""
        request = parse(lockpb.LockRequest, body)
        lease = await grant_session(caller, request.lease)
        prefix = request.name + b"/"
        key = prefix + b"%x" % lease
        header, revision, owner = await _queue_up(caller, prefix, key, lease)
        if owner != revision:
            try:
                await await_turn(caller, prefix, revision)
                held = await caller.call(_KV + "Range", pb.RangeRequest(key=key), pb.RangeResponse)
            except BaseException:
                caller.post(_KV + "DeleteRange", pb.DeleteRangeRequest(key=key))
                raise
            if not held.kvs:
                raise unknown("mutex: session is expired")
            header = held.header
        yield lockpb.LockResponse(header=header, key=key).SerializeToString()

    async def unlock(self, caller: InProcessClient, body: bytes) -> AsyncIterator[bytes]:
        """Lock.Unlock: delete the key that Lock has answered."""
        request = parse(lockpb.UnlockRequest, body)
        deletion = pb.DeleteRangeRequest(key=request.key)
        deleted = await caller.call(_KV + "DeleteRange", deletion, pb.DeleteRangeResponse)
        yield lockpb.UnlockResponse(header=deleted.header).SerializeToString()


async def _queue_up(
    caller: InProcessClient, prefix: bytes, key: bytes, lease: int
) -> tuple[pb.ResponseHeader, int, int]:
    """Put the key unless it is there; the header, and the revisions in which it and the oldest key were made."""
    oldest = pb.RequestOp(
        request_range=pb.RangeRequest(
            key=prefix,
            range_end=prefix_end(prefix),
            limit=1,
            sort_order=pb.RangeRequest.ASCEND,
            sort_target=pb.RangeRequest.CREATE,
        )
    )
    txn = pb.TxnRequest(
        compare=[pb.Compare(key=key, target=pb.Compare.CREATE, create_revision=0)],
        success=[pb.RequestOp(request_put=pb.PutRequest(key=key, lease=lease)), oldest],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key)), oldest],
    )
    done = await caller.call(_KV + "Txn", txn, pb.TxnResponse)
    mine = done.responses[0].response_range.kvs
    revision = done.header.revision if done.succeeded else mine[0].create_revision
    owner = done.responses[1].response_range.kvs
    return done.header, revision, owner[0].create_revision if owner else revision
