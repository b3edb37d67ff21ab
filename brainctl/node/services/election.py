"""The v3election service: the oldest key under a name leads, and its value is what the leader proclaims.

The keys are those that etcd's own clients write, `<name>/<lease in hex>`, so that both can take part in an election
(etcd client/v3/concurrency).

Example: two candidates for "boss", with the leases 0xa1 and 0xb2:

    A: Campaign "a"   put boss/a1 = "a" (create_revision 11): A leads; an observer gets "a"
    B: Campaign "b"   put boss/b2 = "b" (create_revision 12): wait for the deletion of boss/a1
    A: Proclaim "a2"  put boss/a1 = "a2", if its create_revision is still 11; the observer gets "a2"
    A: Resign         delete boss/a1: B leads, the observer gets "b"
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from brainctl.errors import ApiError
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import v3election_pb2 as electionpb
from brainctl.mvcc.prefix import prefix_end
from brainctl.node.in_process_client import InProcessClient, Serve, await_turn, grant_session, parse, unknown

_TXN = "/etcdserverpb.KV/Txn"
_RANGE = "/etcdserverpb.KV/Range"


class ElectionService:
    """Election.Campaign, Proclaim, Leader, Observe and Resign."""

    def streams(self) -> dict[str, Serve]:
        """Return the methods by path."""
        return {
            "/v3electionpb.Election/Campaign": self.campaign,
            "/v3electionpb.Election/Proclaim": self.proclaim,
            "/v3electionpb.Election/Leader": self.leader,
            "/v3electionpb.Election/Observe": self.observe,
            "/v3electionpb.Election/Resign": self.resign,
        }

    async def campaign(self, caller: InProcessClient, body: bytes) -> AsyncIterator[bytes]:
        """Serve Election.Campaign: wait to be the leader; when the caller goes away, delete its key."""
        request = parse(electionpb.CampaignRequest, body)
        lease = await grant_session(caller, request.lease)
        prefix = request.name + b"/"
        key = prefix + b"%x" % lease
        txn = pb.TxnRequest(
            compare=[pb.Compare(key=key, target=pb.Compare.CREATE, create_revision=0)],
            success=[pb.RequestOp(request_put=pb.PutRequest(key=key, value=request.value, lease=lease))],
            failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key))],
        )
        done = await caller.call(_TXN, txn, pb.TxnResponse)
        leader = electionpb.LeaderKey(name=request.name, key=key, rev=done.header.revision, lease=lease)
        try:
            if not done.succeeded:
                known = done.responses[0].response_range.kvs[0]
                leader.rev = known.create_revision
                if known.value != request.value:
                    await _proclaim(caller, leader, lease, request.value)
            await await_turn(caller, prefix, leader.rev)
        except BaseException:
            caller.post(_TXN, _deletion(leader))
            raise
        yield electionpb.CampaignResponse(header=done.header, leader=leader).SerializeToString()

    async def proclaim(self, caller: InProcessClient, body: bytes) -> AsyncIterator[bytes]:
        """Serve Election.Proclaim: the leader sets a new value.

        Raises:
            ApiError: The field leader is missing, or it does not lead any more.
        """
        request = parse(electionpb.ProclaimRequest, body)
        if not request.HasField("leader"):
            raise unknown('"leader" field must be provided')
        lease = await grant_session(caller, request.leader.lease)
        header = await _proclaim(caller, request.leader, lease, request.value)
        yield electionpb.ProclaimResponse(header=header).SerializeToString()

    async def resign(self, caller: InProcessClient, body: bytes) -> AsyncIterator[bytes]:
        """Serve Election.Resign: delete the key of the leader, if it still leads, so that the next one leads.

        Raises:
            ApiError: The field leader is missing.
        """
        request = parse(electionpb.ResignRequest, body)
        if not request.HasField("leader"):
            raise unknown('"leader" field must be provided')
        done = await caller.call(_TXN, _deletion(request.leader), pb.TxnResponse)
        yield electionpb.ResignResponse(header=done.header).SerializeToString()

    async def leader(self, caller: InProcessClient, body: bytes) -> AsyncIterator[bytes]:
        """Serve Election.Leader: the key and the value of the present leader.

        Raises:
            ApiError: There is no leader.
        """
        found = await _oldest(caller, parse(electionpb.LeaderRequest, body).name + b"/")
        if not found.kvs:
            raise unknown("election: no leader")
        yield electionpb.LeaderResponse(header=found.header, kv=found.kvs[0]).SerializeToString()

    async def observe(self, caller: InProcessClient, body: bytes) -> AsyncGenerator[bytes, None]:
        """Serve Election.Observe: each leader, and each value that it proclaims, until the client goes away.

        As in etcd the stream ends with OK when it cannot go on, whatever the reason.
        """
        prefix = parse(electionpb.LeaderRequest, body).name + b"/"
        try:
            while True:
                async with aclosing(_reign(caller, prefix)) as reign:
                    async for header, kv in reign:
                        yield electionpb.LeaderResponse(header=header, kv=kv).SerializeToString()
        except ApiError:
            return


async def _reign(
    caller: InProcessClient, prefix: bytes
) -> AsyncGenerator[tuple[pb.ResponseHeader, kv_pb2.KeyValue], None]:
    """Yield the values of one leader until its key is deleted; when there is none yet, wait for one.

    It ends early when the revisions to watch are already compacted: the caller's next look finds the present leader.
    """
    found = await _oldest(caller, prefix)
    if found.kvs:
        header, kv = found.header, found.kvs[0]
    else:
        put = await _first_put(caller, prefix, found.header.revision + 1)
        if put is None:
            return
        header, kv = put
    yield header, kv
    create = pb.WatchCreateRequest(key=kv.key, start_revision=header.revision + 1)
    async with aclosing(caller.events(create)) as watch:
        async for response in watch:
            for event in response.events:
                if event.type == event.DELETE:
                    return
                yield response.header, event.kv


async def _first_put(
    caller: InProcessClient, prefix: bytes, revision: int
) -> tuple[pb.ResponseHeader, kv_pb2.KeyValue] | None:
    """Wait for the first put under the prefix from `revision` on; return None when the history was compacted."""
    create = pb.WatchCreateRequest(key=prefix, range_end=prefix_end(prefix), start_revision=revision)
    async with aclosing(caller.events(create)) as watch:
        async for response in watch:
            for event in response.events:
                if event.type == event.PUT:
                    # The response may span several revisions; the watch of the key goes on after this one.
                    response.header.revision = event.kv.mod_revision
                    return response.header, event.kv
    return None


async def _oldest(caller: InProcessClient, prefix: bytes) -> pb.RangeResponse:
    """Return the response with the oldest key under the prefix: the leader's."""
    request = pb.RangeRequest(
        key=prefix,
        range_end=prefix_end(prefix),
        limit=1,
        sort_order=pb.RangeRequest.ASCEND,
        sort_target=pb.RangeRequest.CREATE,
    )
    return await caller.call(_RANGE, request, pb.RangeResponse)


async def _proclaim(
    caller: InProcessClient, leader: electionpb.LeaderKey, lease: int, value: bytes
) -> pb.ResponseHeader:
    """Put the value of the leader, if it still leads, and return the header.

    Raises:
        ApiError: It does not lead any more.
    """
    put = pb.PutRequest(key=leader.key, value=value, lease=lease)
    txn = pb.TxnRequest(compare=[_still_leads(leader)], success=[pb.RequestOp(request_put=put)])
    done = await caller.call(_TXN, txn, pb.TxnResponse)
    if not done.succeeded:
        raise unknown("election: not leader")
    return done.header


def _deletion(leader: electionpb.LeaderKey) -> pb.TxnRequest:
    """Return the transaction that deletes the key of the leader, if it still leads."""
    deletion = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=leader.key))
    return pb.TxnRequest(compare=[_still_leads(leader)], success=[deletion])


def _still_leads(leader: electionpb.LeaderKey) -> pb.Compare:
    """Return the comparison that the leader's key is still the one with which it was elected."""
    return pb.Compare(key=leader.key, target=pb.Compare.CREATE, create_revision=leader.rev)
