"""Leases of any store with their TTLs, many at a time."""

from collections.abc import Iterable
from typing import NamedTuple

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import lease_record
from brainctl.mvcc.lessor import LEASES, decode_ttl
from brainctl.stores.bounded_gather import gather
from brainctl.stores.store import Store

LOOKUPS = 32
"""Number of leases that are looked up at the same time."""


class LeaseTtl(NamedTuple):
    """A lease; times are in seconds."""

    id: int
    granted: int
    remaining: int


async def lease_ttls(store: Store, ids: Iterable[int]) -> tuple[LeaseTtl, ...]:
    """Return those of the leases that exist.

    Only the process that writes to a store knows what remains of a TTL. For a store that is opened in this process,
    the whole TTL is taken to remain: this process does not become the writer to find out.
    """
    if (local := store.in_process) is not None:
        records = local.node.backend.records(LEASES)
        found = ((lease, records.get(lease_record(lease))) for lease in ids)
        ttls = ((lease, decode_ttl(record)) for lease, record in found if record is not None)
        return tuple(LeaseTtl(lease, ttl, ttl) for lease, ttl in ttls)

    async def one(lease: int) -> pb.LeaseTimeToLiveResponse:
        return await store.lease_time_to_live(pb.LeaseTimeToLiveRequest(ID=lease))

    answers = await gather(one, ids, LOOKUPS)
    return tuple(LeaseTtl(answer.ID, answer.grantedTTL, answer.TTL) for answer in answers if answer.TTL >= 0)
