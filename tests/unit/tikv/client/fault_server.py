"""A cluster that fails as told: the services of the Placement Driver and of TiKV on loopback, without any data.

One server is the Placement Driver and all the stores: a store is recognised by its port.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from google.protobuf.message import Message

from brainctl.tikv.client import methods
from brainctl.tikvpb import kvrpcpb_pb2 as kv
from brainctl.tikvpb import metapb_pb2 as meta
from brainctl.tikvpb import pdpb_pb2 as pd

CLUSTER = 77
Answer = Message | grpc.StatusCode
"""An answer, or how the call fails without one."""

REQUESTS: dict[str, type[Message]] = {
    "GetMembers": pd.GetMembersRequest,
    "GetRegion": pd.GetRegionRequest,
    "GetStore": pd.GetStoreRequest,
    "KvGet": kv.GetRequest,
    "KvPrewrite": kv.PrewriteRequest,
    "KvCommit": kv.CommitRequest,
    "KvBatchRollback": kv.BatchRollbackRequest,
    "KvCheckTxnStatus": kv.CheckTxnStatusRequest,
    "KvCheckSecondaryLocks": kv.CheckSecondaryLocksRequest,
    "KvResolveLock": kv.ResolveLockRequest,
}


class FaultCluster:
    """A cluster of some stores with one region, which a test can change."""

    def __init__(self, stores: int, credentials: grpc.ServerCredentials | None = None) -> None:
        self.leader = 1
        """The store of the leader that the Placement Driver names, 0 for none."""
        self.regions = [meta.Region(id=5, region_epoch=meta.RegionEpoch(version=1, conf_ver=1))]
        self.regions[0].peers.extend(meta.Peer(id=10 + store, store_id=store) for store in range(1, stores + 1))
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        """What to answer next, by method; the last one stays."""
        self.asked: list[tuple[int, str, Message]] = []
        """The requests to stores: the store, the method and the request."""
        self.reached = asyncio.Event()
        """Set once a store was asked for anything."""
        self._stores = stores
        self._credentials = credentials
        self._servers: list[grpc.aio.Server] = []
        self.ports: list[int] = []
        self._now = 0

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    def to_stores(self, method: str) -> list[int]:
        """The stores that were asked, in order."""
        return [store for store, name, _ in self.asked if name == method]

    async def start(self) -> None:
        for store in range(self._stores + 1):
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((_Handler(self, store),))
            address = "127.0.0.1:0"
            port = (
                server.add_insecure_port(address)
                if self._credentials is None
                else server.add_secure_port(address, self._credentials)
            )
            self.ports.append(port)
            await server.start()
            self._servers.append(server)

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop(None) for server in self._servers))

    def answer(self, store: int, method: str, request: Message) -> Answer:
        if method == "GetMembers":
            member = pd.Member(name="pd", client_urls=[f"https://{self.endpoint}"])
            return pd.GetMembersResponse(header=self.header, members=[member], leader=member)
        if method == "GetStore":
            assert isinstance(request, pd.GetStoreRequest)
            address = f"127.0.0.1:{self.ports[request.store_id]}"
            return pd.GetStoreResponse(header=self.header, store=meta.Store(id=request.store_id, address=address))
        if method == "GetRegion":
            assert isinstance(request, pd.GetRegionRequest)
            return self._region(request.region_key)
        self.asked.append((store, method, request))
        self.reached.set()
        queue = self.answers[method]
        return queue.pop(0) if len(queue) > 1 else queue[0]

    def timestamps(self, count: int) -> pd.TsoResponse:
        self._now += count
        return pd.TsoResponse(
            header=self.header, count=count, timestamp=pd.Timestamp(physical=1_000_000, logical=self._now)
        )

    @property
    def header(self) -> pd.ResponseHeader:
        return pd.ResponseHeader(cluster_id=CLUSTER)

    def _region(self, key: bytes) -> pd.GetRegionResponse:
        found = next(r for r in self.regions if r.start_key <= key and (not r.end_key or key < r.end_key))
        leader = next((peer for peer in found.peers if peer.store_id == self.leader), None)
        return pd.GetRegionResponse(header=self.header, region=found, leader=leader)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, cluster: FaultCluster, store: int) -> None:
        self._cluster = cluster
        self._store = store

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if details.method == methods.TIMESTAMPS:
            return grpc.stream_stream_rpc_method_handler(self._oracle)
        name = details.method.rpartition("/")[2]

        async def call(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
            answer = self._cluster.answer(self._store, name, REQUESTS[name].FromString(data))
            if isinstance(answer, grpc.StatusCode):
                await context.abort(answer, "as told")
            return answer.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(call)

    async def _oracle(self, requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        async for data in requests:
            yield self._cluster.timestamps(pd.TsoRequest.FromString(data).count).SerializeToString()


@asynccontextmanager
async def fault_cluster(
    stores: int = 1, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[FaultCluster]:
    cluster = FaultCluster(stores, credentials)
    await cluster.start()
    try:
        yield cluster
    finally:
        await cluster.stop()
