"""The Cluster service of a cluster that has one member."""

from collections.abc import Sequence

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.kv import Handler
from brainctl.node.medium import Medium, Reply


class ClusterService:
    """Cluster.MemberList."""

    def __init__(self, medium: Medium, name: str = "default", client_urls: Sequence[str] = ()) -> None:
        self._medium = medium
        self.name = name
        self.client_urls = client_urls
        """Where clients reach the member; set when the server listens."""

    def handlers(self) -> dict[str, Handler]:
        """By path."""
        return {"/etcdserverpb.Cluster/MemberList": self.member_list}

    def member_list(self, body: bytes, reply: Reply) -> None:
        """Cluster.MemberList; as in etcd, the header has no revision."""
        del body
        header = self._medium.header
        response = pb.MemberListResponse(
            header=pb.ResponseHeader(
                cluster_id=header.cluster_id, member_id=header.member_id, raft_term=header.raft_term
            ),
            members=[pb.Member(ID=header.member_id, name=self.name, clientURLs=self.client_urls)],
        )
        reply(response.SerializeToString())
