"""The unary methods of a Store, each of which is one call by path.

A store takes them as its methods: `put = call_put` in the body of its class.
"""

from typing import Protocol, TypeVar

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb

Reply = TypeVar("Reply", bound=Message)


class Caller(Protocol):
    """A store that makes calls by path."""

    async def call(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        """See `Store.call`."""


async def call_range(store: Caller, request: pb.RangeRequest) -> pb.RangeResponse:
    """See `Store.range`."""
    return await store.call("/etcdserverpb.KV/Range", request, pb.RangeResponse)


async def call_put(store: Caller, request: pb.PutRequest) -> pb.PutResponse:
    """See `Store.put`."""
    return await store.call("/etcdserverpb.KV/Put", request, pb.PutResponse)


async def call_delete_range(store: Caller, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:
    """See `Store.delete_range`."""
    return await store.call("/etcdserverpb.KV/DeleteRange", request, pb.DeleteRangeResponse)


async def call_txn(store: Caller, request: pb.TxnRequest) -> pb.TxnResponse:
    """See `Store.txn`."""
    return await store.call("/etcdserverpb.KV/Txn", request, pb.TxnResponse)


async def call_compact(store: Caller, request: pb.CompactionRequest) -> pb.CompactionResponse:
    """See `Store.compact`."""
    return await store.call("/etcdserverpb.KV/Compact", request, pb.CompactionResponse)


async def call_lease_grant(store: Caller, request: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:
    """See `Store.lease_grant`."""
    return await store.call("/etcdserverpb.Lease/LeaseGrant", request, pb.LeaseGrantResponse)


async def call_lease_revoke(store: Caller, request: pb.LeaseRevokeRequest) -> pb.LeaseRevokeResponse:
    """See `Store.lease_revoke`."""
    return await store.call("/etcdserverpb.Lease/LeaseRevoke", request, pb.LeaseRevokeResponse)


async def call_lease_time_to_live(store: Caller, request: pb.LeaseTimeToLiveRequest) -> pb.LeaseTimeToLiveResponse:
    """See `Store.lease_time_to_live`."""
    return await store.call("/etcdserverpb.Lease/LeaseTimeToLive", request, pb.LeaseTimeToLiveResponse)


async def call_leases(store: Caller) -> pb.LeaseLeasesResponse:
    """See `Store.leases`."""
    return await store.call("/etcdserverpb.Lease/LeaseLeases", pb.LeaseLeasesRequest(), pb.LeaseLeasesResponse)


async def call_status(store: Caller) -> pb.StatusResponse:
    """See `Store.status`."""
    return await store.call("/etcdserverpb.Maintenance/Status", pb.StatusRequest(), pb.StatusResponse)
