"""The v3lock service: a lock is a prefix; the oldest key under it holds the lock (etcd client/v3/concurrency).

The keys are those that etcd's own clients write, `<name>/<lease in hex>`, so that both can share a lock.

Example: clients with the leases 0xa1 and 0xb2 lock "job":

    A: Lock    put job/a1 (create_revision 11): it is the oldest, A holds the lock
    B: Lock    put job/b2 (create_revision 12): wait for the deletion of job/a1
    A: Unlock  delete job/a1, or A's lease expires: B is answered with the key job/b2
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
        """Return the methods by path."""
        return {"/v3lockpb.Lock/Lock": self.lock, "/v3lockpb.Lock/Unlock": self.unlock}

    async def lock(self, caller: InProcessClient, body: bytes) -> AsyncIterator[bytes]:
        """Serve Lock.Lock: wait for all that came before; when the caller goes away, delete its key.

        Raises:
            ApiError: The request is malformed, a call was refused, or the lease expired while waiting.
        """
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
        """Serve Lock.Unlock: delete the key with which Lock was answered."""
        request = parse(lockpb.UnlockRequest, body)
        deletion = pb.DeleteRangeRequest(key=request.key)
        deleted = await caller.call(_KV + "DeleteRange", deletion, pb.DeleteRangeResponse)
        yield lockpb.UnlockResponse(header=deleted.header).SerializeToString()


async def _queue_up(
    caller: InProcessClient, prefix: bytes, key: bytes, lease: int
) -> tuple[pb.ResponseHeader, int, int]:
    """Put the key unless it exists; return the header, and the create_revisions of this key and of the oldest key."""
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
