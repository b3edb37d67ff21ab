"""A role in plain text, as etcdctl writes it."""

from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.prefix import prefix_end

_NO_END = b"\0"
"""The range_end that means all keys from the first on."""
_READS = (authpb.Permission.READ, authpb.Permission.READWRITE)
_WRITES = (authpb.Permission.WRITE, authpb.Permission.READWRITE)


def role_text(name: str, response: pb.AuthRoleGetResponse) -> bytes:
    """Return what the role may read, then what it may write, one range on a line."""
    if name == "root" and not response.perm:
        everything = b"\t[, <open ended>\n"
        return b"Role root\nKV Read:\n%bKV Write:\n%b" % (everything, everything)
    reads = b"".join(_line(perm) for perm in response.perm if perm.permType in _READS)
    writes = b"".join(_line(perm) for perm in response.perm if perm.permType in _WRITES)
    return b"Role %b\nKV Read:\n%bKV Write:\n%b" % (name.encode(), reads, writes)


def range_text(key: bytes, end: bytes) -> bytes:
    """Return a range of keys; etcdctl leaves the bracket of an open end open, and so does this."""
    return b"[%b, <open ended>" % key if end == _NO_END else b"[%b, %b)" % (key, end)


def _line(permission: authpb.Permission) -> bytes:
    """Return one range of a role, as etcdctl writes it; it marks a range that is a prefix."""
    key, end = permission.key, permission.range_end
    if not end:
        return b"\t%b\n" % key
    of_prefix = b" (prefix %b)" % key if key and end == prefix_end(key) else b""
    return b"\t%b%b\n" % (range_text(key, end), of_prefix)
