"""The writes of one group commit, evaluated in order.

Each write sees what those before it staged, takes the next revision if it changes anything, and adds its changes to
the commit. A write that is refused raises before it stages anything. Nothing staged is visible to readers until the
commit is durable.
"""

from collections.abc import Callable, Iterable

from google.protobuf.message import Message

from brainctl.errors import COMPACTED, FUTURE_REVISION, KEY_NOT_FOUND, LEASE_NOT_FOUND, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import ranges
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header, nested_header
from brainctl.mvcc.keyversion import KeyVersion, put_version, tombstone
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.requests import check_delete, check_put
from brainctl.mvcc.sorting import sort
from brainctl.mvcc.steps import STEP_KEYS, Steps, copied, cost, finish, in_pieces
from brainctl.mvcc.txn import Branch, choose_branch
from brainctl.mvcc.weight import Count, is_long
from brainctl.wire.varint import varint


def lease_record(lease: int) -> bytes:
    """Return the name of the small record that says that a lease exists.

    The id is written as 16 hexadecimal digits; a negative one as its 64-bit pattern.
    """
    return b"lease/%016x" % (lease & 0xFFFF_FFFF_FFFF_FFFF)


class Batch:
    """One group commit that is being filled."""

    def __init__(
        self,
        staged: PendingWrites,
        meta: Callable[[bytes], bytes | None],
        header: Header,
        *,
        weigh: Count | None = None,
    ) -> None:
        """Create an empty commit on a state.

        Args:
            staged: The state, with the commits in flight.
            meta: Looks up a small record by its name, as it is durable.
            header: Makes the headers of responses.
            weigh: Counts the keys of a range, about, to find the writes that are long; with None all are done at once.
        """
        self.staged = staged
        self.header = header
        self.commit = Commit(staged.revision)
        self._weigh = weigh
        self._first = 0
        self._durable_meta = meta
        staged.begin(self.commit)

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to make durable."""
        commit = self.commit
        return not (commit.changes or commit.meta or commit.compact)

    @property
    def revision(self) -> int:
        """Return the revision after the writes so far."""
        return self.staged.revision

    def record(self, name: bytes) -> bytes | None:
        """Return a small record as the writes so far left it; None when it does not exist."""
        known, value = self.staged.record(name)
        return value if known else self._durable_meta(name)

    def set_record(self, name: bytes, value: bytes | None) -> None:
        """Set or remove (None) a small record together with the changes of this commit."""
        self.commit.meta[name] = value
        self.staged.add_meta(name, value)

    def long_or_whole(self, request: Message, steps: Steps[bytes]) -> bytes | Steps[bytes]:
        """Return the steps of a request when it is long; else do them now, and return their result."""
        if self._weigh is not None and is_long(request, self._weigh):
            return steps
        return finish(steps)

    @property
    def slices(self) -> bool:
        """Return whether an evaluation may be done in slices, so that it may return its steps."""
        return self._weigh is not None

    def put(self, request: pb.PutRequest) -> bytes:
        """Evaluate KV.Put: stage the change, and return the marshalled PutResponse.

        Raises:
            ApiError: The request is malformed, its lease does not exist, or it keeps the value or the lease of a key
                that does not exist.
        """
        check_put(request)
        self._check_put_state(request)
        revision = self._begin()
        before = self._put(request, revision)
        self.staged.revision = self.commit.revision = revision
        return _put_response(self.header(revision), before if request.prev_kv else None)

    def delete_range(self, request: pb.DeleteRangeRequest) -> bytes:
        """Evaluate KV.DeleteRange: stage the tombstones, and return the marshalled DeleteRangeResponse.

        Raises:
            ApiError: The request names no key.
        """
        return finish(self.delete_range_steps(request))

    def delete_range_steps(self, request: pb.DeleteRangeRequest) -> Steps[bytes]:
        """Evaluate KV.DeleteRange in steps, as `delete_range` does in one go.

        Once the first step was done, all must be done before the next write is evaluated.
        """
        check_delete(request)
        revision = self._begin()
        gone = yield from self._delete(ranges.bounds(request.key, request.range_end), revision)
        self._end(revision)
        return (yield from _delete_response(self.header(self.revision), gone, prev_kv=request.prev_kv))

    def delete_keys(self, keys: Iterable[bytes], keep: Callable[[KeyVersion], bool] | None = None) -> Steps[int]:
        """Delete keys in key order and in one revision, and return, in steps, how many there were.

        As for `delete_range_steps`, all steps must be done before the next write is evaluated.

        Args:
            keys: The candidates; those that are not live are skipped.
            keep: Returns True for a live version that must stay.
        """
        names = yield from sort(list(keys), bytes, reverse=False)
        revision = self._begin()
        for piece in in_pieces(names, STEP_KEYS // 2):
            for key in piece:
                version = self.staged.get(key)
                if version is not None and not (keep and keep(version)):
                    self._stage(tombstone(key, revision, self._sub), version)
            yield 4 * len(piece)
        count = self._sub
        self._end(revision)
        return count

    def compact(self, request: pb.CompactionRequest) -> bytes:
        """Evaluate KV.Compact: note the revision in the commit, and return the marshalled CompactionResponse.

        Raises:
            ApiError: The revision is compacted already, or later than the newest one.
        """
        if request.revision <= max(self.staged.compacted, 0):
            raise ApiError(COMPACTED)
        if request.revision > self.staged.revision:
            raise ApiError(FUTURE_REVISION)
        self.commit.compact = self.staged.compacted = request.revision
        return self.header(self.revision)

    def txn(self, request: pb.TxnRequest) -> bytes:
        """Evaluate KV.Txn, which `check_txn` has accepted: stage its changes, and return the marshalled TxnResponse.

        Raises:
            ApiError: A lease, key or revision that the branch to be run names is not there.
        """
        return finish(self.txn_steps(request))

    def txn_steps(self, request: pb.TxnRequest) -> Steps[bytes]:
        """Evaluate KV.Txn in steps; once begun, they must all be done, as for `delete_range_steps`.

        Which branches run, here and in nested transactions, is decided from the state before the first operation, and
        everything that could be refused is checked before anything is staged.
        """
        branch = yield from choose_branch(request, self._compared)
        self._check_branch(branch)
        revision = self._begin()
        responses = yield from self._run_branch(branch, revision)
        self._end(revision)
        return _txn_response(self.header(self.revision), responses, branch.succeeded)

    # -- one operation ------------------------------------------------------------------------------------------

    def _begin(self) -> int:
        """Start a write, and return the revision that it will have if it changes anything."""
        self._first = len(self.commit.changes)
        return self.staged.revision + 1

    def _end(self, revision: int) -> None:
        if self._sub:
            self.staged.revision = self.commit.revision = revision

    @property
    def _sub(self) -> int:
        """Return how many changes the write has staged so far: the sub-revision of the next one."""
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
        """Stage a put that was checked, and return the live version that it replaces."""
        key = request.key
        self.staged.tally.puts += 1
        before = self.staged.get(key)
        value, lease = request.value, request.lease
        if before is not None:
            if request.ignore_value:
                value = ranges.value_of(before)
            if request.ignore_lease:
                lease = before.lease
        self._stage(put_version(key, value, lease, revision, self._sub, before), before)
        return before

    def _delete(self, bounds: tuple[bytes, bytes | None], revision: int) -> Steps[list[KeyVersion]]:
        gone: list[KeyVersion] = []
        self.staged.tally.deletes += 1
        for live in self._stretches(*bounds):
            # `_stretches` has read this list before it goes on, so the tombstones staged here do not appear in it.
            for version in live:
                self._stage(tombstone(version.key, revision, self._sub), version)
            gone += live
            yield cost(live) + 3 * len(live)
        return gone

    # -- transactions -------------------------------------------------------------------------------------------

    def _compared(self, start: bytes, end: bytes | None) -> Iterable[list[KeyVersion]]:
        self.staged.tally.ranges += 1
        return self._stretches(start, end)

    def _stretches(self, start: bytes, end: bytes | None) -> Iterable[list[KeyVersion]]:
        if end == start + b"\0":
            found = self.staged.get(start)
            return () if found is None else ([found],)
        return self.staged.stretches(start, end)

    def _check_branch(self, branch: Branch) -> None:
        """Refuse what the operations of a branch need and the state does not have, before anything is staged."""
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

    def _run_branch(self, branch: Branch, revision: int) -> Steps[list[bytes]]:
        """Return, in steps, the marshalled ResponseOps of a branch; stage its changes at `revision`."""
        nested = iter(branch.nested)
        responses = []
        for operation in branch.operations:
            match operation.WhichOneof("request"):
                case "request_range":
                    self.staged.tally.ranges += 1
                    body = yield from self._read(operation.request_range, self._now(revision))
                    yield from copied(len(body))
                    responses.append(_response_op(b"\n", body))
                    yield from copied(len(body))
                case "request_put":
                    before = self._put(operation.request_put, revision)
                    shown = before if operation.request_put.prev_kv else None
                    responses.append(_response_op(b"\x12", _put_response(nested_header(revision), shown)))
                case "request_delete_range":
                    deletion = operation.request_delete_range
                    gone = yield from self._delete(ranges.bounds(deletion.key, deletion.range_end), revision)
                    header = nested_header(self._now(revision))
                    body = yield from _delete_response(header, gone, prev_kv=deletion.prev_kv)
                    responses.append(_response_op(b"\x1a", body))
                case "request_txn":
                    inner = next(nested)
                    answers = yield from self._run_branch(inner, revision)
                    responses.append(_response_op(b"\x22", _txn_response(nested_header(0), answers, inner.succeeded)))
                case _:
                    pass
        return responses

    def _now(self, revision: int) -> int:
        """Return the revision that an operation of a transaction reports: the new one once something has changed."""
        return revision if self._sub else revision - 1

    def _read(self, request: pb.RangeRequest, now: int) -> Steps[bytes]:
        if not request.range_end and not request.revision and ranges.is_plain(request):
            found = self.staged.get(request.key)
            kvs = [] if found is None or request.count_only else [found.kv]
            return ranges.response(nested_header(now), framed(kvs), int(found is not None), more=False)
        revision = max(request.revision, 0)
        return (yield from ranges.answer_steps(self.staged, request, nested_header(now), revision))


def _put_response(header: bytes, before: KeyVersion | None) -> bytes:
    if before is None:
        return header
    return b"%b\x12%b%b" % (header, varint(len(before.kv)), before.kv)


def _delete_response(header: bytes, gone: list[KeyVersion], *, prev_kv: bool) -> Steps[bytes]:
    parts = [header]
    if gone:
        parts.append(b"\x10" + varint(len(gone)))
        for piece in in_pieces(gone) if prev_kv else ():
            parts += [b"\x1a%b%b" % (varint(len(version.kv)), version.kv) for version in piece]
            yield len(piece)
    return b"".join(parts)


def _txn_response(header: bytes, responses: list[bytes], succeeded: bool) -> bytes:
    parts = [header, b"\x10\x01" if succeeded else b""]
    parts += [b"\x1a%b%b" % (varint(len(response)), response) for response in responses]
    return b"".join(parts)


def _response_op(tag: bytes, body: bytes) -> bytes:
    return b"%b%b%b" % (tag, varint(len(body)), body)
