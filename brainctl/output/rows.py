"""The columns of the answers that are lists."""

from functools import singledispatch

from google.protobuf.message import Message

from brainctl.errors import Unsupported
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import EndpointHash, Endpoints, EndpointStatus, FileHash, FileStatus, Health
from brainctl.output.gotext import size

Row = list[str]
HEALTH = ["endpoint", "health", "took", "error"]
STATUS = [
    "endpoint",
    "ID",
    "version",
    "storage version",
    "db size",
    "in use",
    "percentage not in use",
    "quota",
    "is leader",
    "is learner",
    "raft term",
    "raft index",
    "raft applied index",
    "errors",
    "downgrade target version",
    "downgrade enabled",
]
HASH = ["endpoint", "hash", "hash revision"]
MEMBERS = ["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"]


@singledispatch
def columns(answer: Message | Endpoints | tuple[object, ...]) -> tuple[Row, list[Row]]:
    """Return header and rows of an answer.

    Raises:
        Unsupported: The answer is not a list.
    """
    del answer
    raise Unsupported("table not supported as output format")


@columns.register
def _(answer: pb.MemberListResponse) -> tuple[Row, list[Row]]:
    return MEMBERS, [
        [
            f"{member.ID:x}",
            "started" if member.name else "unstarted",
            member.name,
            ",".join(member.peerURLs),
            ",".join(member.clientURLs),
            _truth(member.isLearner),
        ]
        for member in answer.members
    ]


@columns.register
def _(answer: Endpoints) -> tuple[Row, list[Row]]:
    header: Row = []
    rows = []
    for row in answer.rows:
        header, cells = _row(row)
        rows.append(cells)
    return header, rows


@columns.register
def _(answer: FileStatus) -> tuple[Row, list[Row]]:
    row = [f"{answer.hash:x}", str(answer.revision), str(answer.keys), size(answer.size), answer.version]
    return ["hash", "revision", "total keys", "total size", "version"], [row]


@columns.register
def _(answer: FileHash) -> tuple[Row, list[Row]]:
    row = [str(answer.hash), str(answer.revision), str(answer.compact_revision)]
    return ["hash", "hash revision", "compact revision"], [row]


def _row(row: Health | EndpointStatus | EndpointHash) -> tuple[Row, Row]:
    """Return header and cells of one endpoint."""
    if isinstance(row, Health):
        return HEALTH, [row.endpoint, _truth(row.healthy), row.took, row.error]
    if isinstance(row, EndpointHash):
        return HASH, [row.endpoint, str(row.response.hash), str(row.response.hash_revision)]
    return STATUS, _status(row.endpoint, row.response)


def _status(endpoint: str, status: pb.StatusResponse) -> Row:
    used = status.dbSizeInUse * 100 // status.dbSize if status.dbSize else 100
    return [
        endpoint,
        f"{status.header.member_id:x}",
        status.version,
        status.storageVersion,
        size(status.dbSize),
        size(status.dbSizeInUse),
        f"{100 - used}%",
        size(status.dbSizeQuota),
        _truth(status.leader == status.header.member_id),
        _truth(status.isLearner),
        str(status.raftTerm),
        str(status.raftIndex),
        str(status.raftAppliedIndex),
        ", ".join(status.errors),
        status.downgradeInfo.targetVersion,
        _truth(status.downgradeInfo.enabled),
    ]


def _truth(value: bool) -> str:
    return "true" if value else "false"
