"""The Cluster service: of one member, or of the instances that serve a store together.

Members come and go with the processes, not by requests. So it answers as an etcd of one member does, with two
differences: a learner is refused as by an etcd that accepts none (--max-learners 0), and a voting member, which would
cost a real etcd its quorum at once, is refused as by an etcd that has lost its quorum.
"""

import re
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from brainctl.errors import (
    MEMBER_NOT_FOUND,
    MEMBER_NOT_LEARNER,
    MEMBER_URLS_INVALID,
    MEMBER_URLS_TAKEN,
    TOO_FEW_STARTED,
    TOO_MANY_LEARNERS,
    UNHEALTHY,
    ApiError,
)
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.node.backend import Backend, Reply
from brainctl.node.handler import Handler, refusal
from brainctl.node.membership import Membership

MEMBER = b"member"
"""The name of the small record with the changed fields of the only member: a marshalled Member with its peer URLs. For
one of several instances a slash and its id, 16 hex digits, follow.
"""
_CLUSTER = "/etcdserverpb.Cluster/"
_URL = re.compile(r"(?i:https?)://(?:[^/?#@\s]*@)?(?:[^:/?#\[\]\s]*|\[[^\]\s]*\]):[0-9]*(?:[?#].*)?|unixs?:.*")
"""The URLs that etcd accepts for peers: http or https with host and port, without a path, or a Unix socket."""


class ClusterService:
    """Cluster.MemberList, MemberAdd, MemberRemove, MemberUpdate and MemberPromote."""

    def __init__(
        self,
        backend: Backend,
        name: str = "default",
        client_urls: Sequence[str] = (),
        peer_urls: Sequence[str] = (),
        membership: Membership | None = None,
    ) -> None:
        """Create the service.

        Args:
            backend: The store.
            name: The name of the member.
            client_urls: The URLs at which clients reach the member.
            peer_urls: The peer URLs of the member until a request changes them.
            membership: The instances that serve the store; None where this is the only one.
        """
        self._backend = backend
        self._membership = membership
        self._peer_urls = peer_urls
        self.name = name
        self.client_urls = client_urls
        """The URLs at which clients reach the member; set when the server listens."""

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path."""
        return {
            _CLUSTER + "MemberList": self.member_list,
            _CLUSTER + "MemberAdd": self.member_add,
            _CLUSTER + "MemberRemove": self.member_remove,
            _CLUSTER + "MemberUpdate": self.member_update,
            _CLUSTER + "MemberPromote": self.member_promote,
        }

    def member_list(self, body: bytes, reply: Reply) -> None:
        """Serve Cluster.MemberList: as in etcd, the header has no revision."""
        del body
        reply(pb.MemberListResponse(header=self._header(), members=self._members()).SerializeToString())

    def member_add(self, body: bytes, reply: Reply) -> None:
        """Serve Cluster.MemberAdd: it is refused, with the reason that fits best."""
        try:
            request = pb.MemberAddRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        urls = [url.strip() for url in request.peerURLs]
        if not urls or not all(map(_URL.fullmatch, urls)):
            reply(ApiError(MEMBER_URLS_INVALID))
        elif set(urls) & {url for member in self._members() for url in member.peerURLs}:
            reply(ApiError(MEMBER_URLS_TAKEN))
        else:
            reply(ApiError(TOO_MANY_LEARNERS if request.isLearner else UNHEALTHY))

    def member_remove(self, body: bytes, reply: Reply) -> None:
        """Serve Cluster.MemberRemove: a member cannot be removed, it ends with its process."""
        self._refuse(body, pb.MemberRemoveRequest, ApiError(TOO_FEW_STARTED), reply)

    def member_promote(self, body: bytes, reply: Reply) -> None:
        """Serve Cluster.MemberPromote: every member votes already, so it is no learner."""
        self._refuse(body, pb.MemberPromoteRequest, ApiError(MEMBER_NOT_LEARNER), reply)

    def _refuse(
        self,
        body: bytes,
        kind: type[pb.MemberRemoveRequest] | type[pb.MemberPromoteRequest],
        error: ApiError,
        reply: Reply,
    ) -> None:
        """Refuse a request about a member: with `error` if there is such a member, otherwise with MEMBER_NOT_FOUND."""
        try:
            known = self._find(kind.FromString(body).ID) is not None
        except DecodeError as fault:
            reply(refusal(fault))
            return
        reply(error if known else ApiError(MEMBER_NOT_FOUND))

    def member_update(self, body: bytes, reply: Reply) -> None:
        """Serve Cluster.MemberUpdate: set the peer URLs, durably.

        They are shown and not used; as in etcd they may be any text.
        """
        try:
            request = pb.MemberUpdateRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._backend.submit(self._update, request, reply)

    def _update(self, batch: Batch, request: pb.MemberUpdateRequest) -> bytes:
        """Stage the new peer URLs, and return the marshalled MemberUpdateResponse."""
        member = self._find(request.ID)
        if member is None:
            raise ApiError(MEMBER_NOT_FOUND)
        changed = pb.Member(peerURLs=request.peerURLs)
        batch.set_record(self._record_name(request.ID), changed.SerializeToString())
        del member.peerURLs[:]
        member.MergeFrom(changed)
        return pb.MemberUpdateResponse(header=self._header(), members=[member]).SerializeToString()

    def _find(self, member: int) -> pb.Member | None:
        """Return the member with an id, None when there is none."""
        return next((known for known in self._members() if member == known.ID), None)

    def _record_name(self, member: int) -> bytes:
        return MEMBER if self._membership is None else b"%b/%016x" % (MEMBER, member)

    def _members(self) -> list[pb.Member]:
        """Return the members, with the peer URLs that were stored for them."""
        if self._membership is None:
            mine = self._backend.header.member_id
            return [self._shown(mine, self.name, self._peer_urls, self.client_urls)]
        return [self._shown(one.id, one.name, one.peer_urls, one.client_urls) for one in self._membership.members]

    def _shown(self, member: int, name: str, peer_urls: Sequence[str], client_urls: Sequence[str]) -> pb.Member:
        record = self._backend.record(self._record_name(member))
        peers = peer_urls if record is None else pb.Member.FromString(record).peerURLs
        return pb.Member(ID=member, name=name, peerURLs=peers, clientURLs=client_urls)

    def _header(self) -> pb.ResponseHeader:
        header = self._backend.header
        return pb.ResponseHeader(cluster_id=header.cluster_id, member_id=header.member_id, raft_term=header.raft_term)
