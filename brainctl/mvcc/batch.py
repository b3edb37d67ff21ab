"""The writes of one group commit, evaluated in order.

Each write sees what those before it staged, gets the next revision if it changes anything, and leaves its changes
in the commit. A write that is refused raises before it stages anything. Nothing staged is visible to readers until
the commit is durable.
"""

from collections.abc import Callable, Iterable

from brainctl.errors import COMPACTED, FUTURE_REVISION, KEY_NOT_FOUND, LEASE_NOT_FOUND, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import ranges
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header, nested_header
from brainctl.mvcc.keyversion import KeyVersion, put_version, tombstone
from brainctl.mvcc.requests import check_delete, check_put
from brainctl.mvcc.staged import Staged
from brainctl.mvcc.txn import Branch, take_branch
from brainctl.wire.varint import varint


def lease_record(lease: int) -> bytes:
    """The name of the small record that says that a lease exists; negative ids are their 64-bit pattern."""
    return b"lease/%016x" % (lease & 0xFFFF_FFFF_FFFF_FFFF)


class Batch:
    """One group commit in the making."""

    def __init__(self, staged: Staged, meta: Callable[[bytes], bytes | None], header: Header) -> None:
        self.staged = staged
        self.header = header
        self.commit = Commit(staged.revision)
        self._first = 0
        self._durable_meta = meta
        staged.begin(self.commit)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to make durable."""
        commit = self.commit
        return not (commit.changes or commit.meta or commit.compact)

    @property
    def revision(self) -> int:
        """The revision after the writes so far."""
        return self.staged.revision

    def record(self, name: bytes) -> bytes | None:
        """A small record as the writes so far left it."""
        known, value = self.staged.record(name)
        return value if known else self._durable_meta(name)

    def set_record(self, name: bytes, value: bytes | None) -> None:
        """Set or remove (None) a small record together with the changes of this commit."""
        self.commit.meta[name] = value
        self.staged.add_meta(name, value)

    def put(self, request: pb.PutRequest) -> bytes:
        """KV.Put: the marshalled PutResponse; ApiError."""
        check_put(request)
        self._check_put_state(request)
        revision = self._begin()
        before = self._put(request, revision)
        self.staged.revision = self.commit.revision = revision
        return _put_response(self.header(revision), before if request.prev_kv else None)

    def delete_range(self, request: pb.DeleteRangeRequest) -> bytes:
        """KV.DeleteRange: the marshalled DeleteRangeResponse; ApiError."""
        check_delete(request)
        revision = self._begin()
        gone = self._delete(ranges.bounds(request.key, request.range_end), revision)
        self._end(revision)
        return _delete_response(self.header(self.revision), gone, prev_kv=request.prev_kv)

    def delete_keys(self, keys: Iterable[bytes]) -> int:
        """Delete the given keys, those that are live, in key order and in one revision; how many there were."""
        live = [found for key in sorted(keys) if (found := self.staged.get(key)) is not None]
        revision = self._begin()
        for version in live:
            self._stage(tombstone(version.key, revision, self._sub), version)
        self._end(revision)
        return len(live)

    def compact(self, request: pb.CompactionRequest) -> bytes:
        """KV.Compact: the marshalled CompactionResponse; ApiError."""
        if request.revision <= max(self.staged.compacted, 0):
            raise ApiError(COMPACTED)
        if request.revision > self.staged.revision:
            raise ApiError(FUTURE_REVISION)
        self.commit.compact = self.staged.compacted = request.revision
        return self.header(self.revision)

    def txn(self, request: pb.TxnRequest) -> bytes:
        """KV.Txn, which was checked (`check_txn`): the marshalled TxnResponse; ApiError.

        Which branches run, here and in nested transactions, is decided from the state before the first operation, and
        everything that could be refused is checked before anything is staged.
        """
        branch = take_branch(request, self._versions)
        self._check_branch(branch)
        revision = self._begin()
        responses = self._run_branch(branch, revision)
        self._end(revision)
        return _txn_response(self.header(self.revision), responses, branch.succeeded)

    # -- one operation ------------------------------------------------------------------------------------------

    def _begin(self) -> int:
        """Start a write: its revision, if it changes anything."""
        self._first = len(self.commit.changes)
        return self.staged.revision + 1

    def _end(self, revision: int) -> None:
        if self._sub:
            self.staged.revision = self.commit.revision = revision

    @property
    def _sub(self) -> int:
        """How many changes the write has staged so far: the sub-revision of the next one."""
        return len(self.commit.changes) - self._first

    def _stage(self, version: KeyVersion, before: KeyVersion | None) -> None:
        commit = self.commit
        commit.changes.append(version)
        commit.before.append(before)
        self.staged.add(version)

    def _check_put_state(self, request: pb.PutRequest) -> None:
        if request.lease and self.record(lease_record(request.lease)) is None:
            raise ApiError(LEASE_NOT_FOUND)
        if (request.ignore_value or request.ignore_lease) and self.staged.get(request.key) is None:
            raise ApiError(KEY_NOT_FOUND)

    def _put(self, request: pb.PutRequest, revision: int) -> KeyVersion | None:
        key = request.key
        before = self.staged.get(key)
        value, lease = request.value, request.lease
        if before is not None:
            if request.ignore_value:
                value = ranges.value_of(before)
            if request.ignore_lease:
                lease = before.lease
        self._stage(put_version(key, value, lease, revision, self._sub, before), before)
        return before

    def _delete(self, bounds: tuple[bytes, bytes | None], revision: int) -> list[KeyVersion]:
        start, end = bounds
        if end == start + b"\0":
            found = self.staged.get(start)
            live = [] if found is None else [found]
        else:
            live = list(self.staged.versions(start, end))
        for version in live:
            self._stage(tombstone(version.key, revision, self._sub), version)
        return live

    # -- transactions -------------------------------------------------------------------------------------------

    def _versions(self, start: bytes, end: bytes | None) -> Iterable[KeyVersion]:
        if end == start + b"\0":
            found = self.staged.get(start)
            return () if found is None else (found,)
        return self.staged.versions(start, end)

    def _check_branch(self, branch: Branch) -> None:
        nested = iter(branch.nested)
        for operation in branch.operations:
            match operation.WhichOneof("request"):
                case "request_range":
                    self._check_read(operation.request_range.revision)
                case "request_put":
                    self._check_put_state(operation.request_put)
                case "request_txn":
                    self._check_branch(next(nested))
                case _:
                    pass

    def _check_read(self, revision: int) -> None:
        # Unlike outside of a transaction a negative revision is not the newest: etcd compares it with the compacted
        # one, which is -1 before the first compaction.
        oldest = self.staged.compacted if self.staged.compacted > 0 else -1
        ranges.check_revision(revision, self.staged.revision, oldest)
        if revision < 0 and revision < oldest:
            raise ApiError(COMPACTED)

    def _run_branch(self, branch: Branch, revision: int) -> list[bytes]:
        """The marshalled ResponseOps of a branch; its changes are staged at `revision`."""
        nested = iter(branch.nested)
        responses = []
        for operation in branch.operations:
            match operation.WhichOneof("request"):
                case "request_range":
                    body = self._read(operation.request_range, self._now(revision))
                    responses.append(_response_op(b"\n", body))
                case "request_put":
                    before = self._put(operation.request_put, revision)
                    shown = before if operation.request_put.prev_kv else None
                    responses.append(_response_op(b"\x12", _put_response(nested_header(revision), shown)))
                case "request_delete_range":
                    deletion = operation.request_delete_range
                    gone = self._delete(ranges.bounds(deletion.key, deletion.range_end), revision)
                    header = nested_header(self._now(revision))
                    responses.append(_response_op(b"\x1a", _delete_response(header, gone, prev_kv=deletion.prev_kv)))
                case "request_txn":
                    inner = next(nested)
                    body = _txn_response(nested_header(0), self._run_branch(inner, revision), inner.succeeded)
                    responses.append(_response_op(b"\x22", body))
                case _:
                    pass
        return responses

    def _now(self, revision: int) -> int:
        """The revision that an operation of a transaction reports: the new one once something has changed."""
        return revision if self._sub else revision - 1

    def _read(self, request: pb.RangeRequest, now: int) -> bytes:
        start, end = ranges.bounds(request.key, request.range_end)
        found = list(self.staged.versions(start, end, max(request.revision, 0)))
        if request.count_only:
            return ranges.response(nested_header(now), [], len(found), more=False)
        return ranges.full_response(nested_header(now), request, found)


def _put_response(header: bytes, before: KeyVersion | None) -> bytes:
    if before is None:
        return header
    return b"%b\x12%b%b" % (header, varint(len(before.kv)), before.kv)


def _delete_response(header: bytes, gone: list[KeyVersion], *, prev_kv: bool) -> bytes:
    parts = [header]
    if gone:
        parts.append(b"\x10" + varint(len(gone)))
        if prev_kv:
            parts += [b"\x1a%b%b" % (varint(len(version.kv)), version.kv) for version in gone]
    return b"".join(parts)


def _txn_response(header: bytes, responses: list[bytes], succeeded: bool) -> bytes:
    parts = [header, b"\x10\x01" if succeeded else b""]
    parts += [b"\x1a%b%b" % (varint(len(response)), response) for response in responses]
    return b"".join(parts)


def _response_op(tag: bytes, body: bytes) -> bytes:
    return b"%b%b%b" % (tag, varint(len(body)), body)
