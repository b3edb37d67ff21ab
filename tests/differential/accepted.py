"""Where brainctl may answer other than etcd, and how two answers are made comparable all the same.

1. Ids of the cluster and the member, and the raft term, are each server's own.
2. Keys that tie in a sort come in key order; in etcd in any order, since its sort is not stable. With a limit it cuts
   among the ties where it likes.
3. What remains of a lease differs by the second in which one asks.
4. The keys of a lease come in key order, leases by id; in etcd in no order.
5. Events are grouped into responses in another way: several revisions in one response, where etcd sends one each.
6. The response that cancels a watcher for compaction has the revision of when it was sent.
7. A watcher that was cancelled for compaction is gone; etcd keeps it until the client cancels it too, and until then
   sends no progress on request.
8. RangeStream does not sort; with a sort target and no order etcd sorts within chunks, and sends keys twice.
"""

from typing import Any

from google.protobuf.message import Message

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb

TARGETS = ("key", "version", "create_revision", "mod_revision", "value")
REMAINS_SECONDS = 60


def plain(request: Message, reply: Any) -> Any:
    """A reply without what may differ. It is changed in place."""
    reply.header.ClearField("cluster_id")
    reply.header.ClearField("member_id")
    reply.header.ClearField("raft_term")
    match request:
        case pb.RangeRequest():
            _range(request, reply)
        case pb.TxnRequest():
            _branch(request, reply)
        case pb.LeaseTimeToLiveRequest():
            reply.keys[:] = sorted(reply.keys)
            if 0 <= reply.grantedTTL - reply.TTL < REMAINS_SECONDS:
                reply.TTL = reply.grantedTTL
        case pb.LeaseLeasesRequest():
            leases = sorted(reply.leases, key=lambda lease: lease.ID)
            del reply.leases[:]
            reply.leases.extend(leases)
    return reply


def _branch(txn: pb.TxnRequest, reply: Any) -> None:
    for operation, answer in zip(txn.success if reply.succeeded else txn.failure, reply.responses, strict=True):
        match operation.WhichOneof("request"):
            case "request_range":
                _range(operation.request_range, answer.response_range)
            case "request_txn":
                _branch(operation.request_txn, answer.response_txn)


def _range(request: pb.RangeRequest, reply: Any) -> None:
    if not request.sort_target:
        return
    field = TARGETS[request.sort_target]
    blank = request.keys_only and field == "value"
    targets = [getattr(kv, field) for kv in reply.kvs]
    assert blank or targets == sorted(targets, reverse=request.sort_order == pb.RangeRequest.DESCEND)
    kvs = sorted(reply.kvs, key=lambda kv: bytes(kv.key))
    if request.limit > 0:  # which of those that tie are there is up to the server
        kvs = [kv_pb2.KeyValue(**{field: target}) for target in targets]
    del reply.kvs[:]
    reply.kvs.extend(kvs)
