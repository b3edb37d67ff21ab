"""The header of every response, as bytes.

Responses are built without a message object: their header is field 1 of each of them (etcd
api/etcdserverpb/rpc.proto, ResponseHeader), and only its revision changes from one to the next.
"""

from brainctl.wire.varint import varint


class Header:
    """The field `ResponseHeader header = 1` of the responses of one cluster member, marshalled."""

    def __init__(self, cluster_id: int, member_id: int, raft_term: int) -> None:
        self.cluster_id = cluster_id
        self.member_id = member_id
        self.raft_term = raft_term
        self._head = b"\x08%b\x10%b\x18" % (varint(cluster_id), varint(member_id))
        self._tail = b"\x20%b" % varint(raft_term)
        self._last = (-1, b"")  # many reads in a row answer at one revision: its header is kept

    def __call__(self, revision: int) -> bytes:
        """Return the field, with its tag and length, for a store at `revision`."""
        known, field = self._last
        if known != revision:
            body = b"%b%b%b" % (self._head, varint(revision), self._tail)
            field = b"\n%b%b" % (varint(len(body)), body)
            self._last = (revision, field)
        return field

    def around(self, size: int) -> tuple[bytes, bytes]:
        """Return the bytes before and behind the revision in the field, for a revision whose varint has `size` bytes.

        A caller that answers many writes joins them with consecutive revisions, instead of building each header.
        """
        length = len(self._head) + size + len(self._tail)
        return b"\n%b%b" % (varint(length), self._head), self._tail


def nested_header(revision: int) -> bytes:
    """Return the header of a response inside a TxnResponse: it carries the revision only, as etcd's does."""
    body = b"\x18%b" % varint(revision) if revision else b""
    return b"\n%b%b" % (varint(len(body)), body)
