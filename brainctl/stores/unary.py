"""The unary methods of a Store, each of which is one call by path."""

from abc import ABC, abstractmethod
from typing import TypeVar

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb

Reply = TypeVar("Reply", bound=Message)


class UnaryCalls(ABC):
    """The unary methods of a store, made from its method `call`."""

    @abstractmethod
    async def call(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        """See `Store.call`."""

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        """See `Store.range`."""
        return await self.call("/etcdserverpb.KV/Range", request, pb.RangeResponse)

    async def put(self, request: pb.PutRequest) -> pb.PutResponse:
        """See `Store.put`."""
        return await self.call("/etcdserverpb.KV/Put", request, pb.PutResponse)

    async def delete_range(self, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:
        """See `Store.delete_range`."""
        return await self.call("/etcdserverpb.KV/DeleteRange", request, pb.DeleteRangeResponse)

    async def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """See `Store.txn`."""
        return await self.call("/etcdserverpb.KV/Txn", request, pb.TxnResponse)

    async def compact(self, request: pb.CompactionRequest) -> pb.CompactionResponse:
        """See `Store.compact`."""
        return await self.call("/etcdserverpb.KV/Compact", request, pb.CompactionResponse)

    async def lease_grant(self, request: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:
        """See `Store.lease_grant`."""
        return await self.call("/etcdserverpb.Lease/LeaseGrant", request, pb.LeaseGrantResponse)

    async def lease_revoke(self, request: pb.LeaseRevokeRequest) -> pb.LeaseRevokeResponse:
        """See `Store.lease_revoke`."""
        return await self.call("/etcdserverpb.Lease/LeaseRevoke", request, pb.LeaseRevokeResponse)

    async def lease_time_to_live(self, request: pb.LeaseTimeToLiveRequest) -> pb.LeaseTimeToLiveResponse:
        """See `Store.lease_time_to_live`."""
        return await self.call("/etcdserverpb.Lease/LeaseTimeToLive", request, pb.LeaseTimeToLiveResponse)

    async def leases(self) -> pb.LeaseLeasesResponse:
        """See `Store.leases`."""
        return await self.call("/etcdserverpb.Lease/LeaseLeases", pb.LeaseLeasesRequest(), pb.LeaseLeasesResponse)

    async def status(self) -> pb.StatusResponse:
        """See `Store.status`."""
        return await self.call("/etcdserverpb.Maintenance/Status", pb.StatusRequest(), pb.StatusResponse)
