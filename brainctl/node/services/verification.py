"""The Verification service, an extension of brainctl: state hashes of key ranges (docs/formats/state-hash.md).

A call does a bounded amount of work: it returns the parts that it has hashed, and says that the range goes on.
"""

from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

from google.protobuf.message import DecodeError

from brainctl.errors import COMPACTED, EMPTY_KEY, ApiError, BrainctlError, Code, Status
from brainctl.etcdpb import verification_pb2 as vpb
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.ranges import bounds
from brainctl.mvcc.state_hash import Cutter, Follower, Part, leaves_of
from brainctl.mvcc.steps import STEP_BYTES, STEP_KEYS, Steps
from brainctl.mvcc.view import AsyncView, ReadsRows, View
from brainctl.node.backend import Backend, Reply
from brainctl.node.fresh_revision import fresh_revision
from brainctl.node.handler import Handler, refusal
from brainctl.node.slices import in_slices

HASH_RANGE = "/brainctlpb.Verification/HashRange"
CALL_KEYS = 32_768
"""A call ends at the first end of a part after this number of keys."""
CALL_BYTES = 32 << 20
"""A call ends at the first end of a part after this number of bytes of KeyValues."""
_NO_CUTS = Status(
    Code.INVALID_ARGUMENT, "brainctl: HashRange needs the keys of a part, or cuts in order up to the range_end"
)


class VerificationService:
    """The Verification service over a backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path."""
        return {HASH_RANGE: self.hash_range}

    def hash_range(self, body: bytes, reply: Reply) -> None:
        """Serve Verification.HashRange: hashes are computed in slices beside other requests."""
        try:
            request = vpb.HashRangeRequest.FromString(body)
            _check(request)
        except (DecodeError, ApiError) as error:
            reply(refusal(error))
            return

        async def answer() -> None:
            try:
                reply(await self._answer(request))
            except BrainctlError as error:
                reply(error)

        self._backend.spawn(answer())

    async def _answer(self, request: vpb.HashRangeRequest) -> bytes:
        """Return the marshalled response.

        Raises:
            ApiError: The revision is compacted or in the future.
        """
        backend = self._backend
        now = await fresh_revision(backend, request.key, request.revision)
        revision = request.revision if request.revision > 0 else now
        work = _Work(request)
        view = backend.view
        if view.remote:
            await _hash_remote(work, view, revision)
        else:
            await in_slices(backend, _hash_steps(work, view, revision))
        if revision < backend.compacted:
            raise ApiError(COMPACTED)
        return backend.header(now) + work.response().SerializeToString()


class _Work:
    """The work of one call: keys are taken from `place` on until `ended`."""

    def __init__(self, request: vpb.HashRangeRequest) -> None:
        self.place: bytes | None = request.key
        """The next key to read from; None at the end of the range."""
        self.end = bounds(request.key, request.range_end)[1]
        self._follower = Follower([_cut(cut) for cut in request.cuts]) if request.cuts else None
        self._hasher = self._follower or Cutter(self.end or b"", request.keys)
        self._keys = self._bytes = 0

    def hash(self, keys: list[bytes], kvs: list[bytes]) -> bool:
        """Hash the next keys; return whether to go on reading behind them."""
        sizes = list(map(len, kvs))
        self._hasher.add(keys, leaves_of(kvs), sizes)
        self._keys += len(kvs)
        self._bytes += sum(sizes)
        follower = self._follower
        if follower is not None and follower.overrun:
            self.place = follower.skip() or None
            return False
        # The last part is complete only when a key behind it is seen: what one call cut is followed by one call.
        calls = 1 if follower is None else 2
        if self._hasher.parts and (self._keys >= calls * CALL_KEYS or self._bytes >= calls * CALL_BYTES):
            self.place = None
            return False
        return True

    def exhaust(self) -> None:
        """End the parts with the range: all keys were taken."""
        self._hasher.finish()
        self.place = None

    def response(self) -> vpb.HashRangeResponse:
        """Return the response without its header."""
        parts = self._hasher.parts
        return vpb.HashRangeResponse(
            parts=[
                vpb.RangePart(end=part.end or b"\0", keys=part.keys, bytes=part.size, hash=part.digest)
                for part in parts
            ],
            more=parts[-1].end != (self.end or b""),
        )


def _hash_steps(work: _Work, view: View, revision: int) -> Steps[None]:
    while work.place is not None:
        for keys, kvs in _rows(view, work.place, work.end, revision):
            if not work.hash(keys, kvs):
                break
            yield 1 + len(keys) + sum(map(len, kvs)) // (STEP_BYTES // STEP_KEYS)
        else:
            work.exhaust()


def _rows(view: View, start: bytes, end: bytes | None, revision: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield keys and marshalled KeyValues of a range."""
    if isinstance(view, ReadsRows):
        yield from view.rows(start, end, revision)
        return
    for versions in view.stretches(start, end, revision):
        yield [version.key for version in versions], [version.kv for version in versions]


async def _hash_remote(work: _Work, view: AsyncView, revision: int) -> None:
    """Do the work on a view over a network."""
    while work.place is not None:
        async for versions in _groups(view.versions(work.place, work.end, revision)):
            if not work.hash([version.key for version in versions], [version.kv for version in versions]):
                break
        else:
            work.exhaust()


async def _groups(versions: AsyncIterator[KeyVersion]) -> AsyncIterator[list[KeyVersion]]:
    """Yield versions in lists of at most STEP_KEYS."""
    group: list[KeyVersion] = []
    async for version in versions:
        group.append(version)
        if len(group) >= STEP_KEYS:
            yield group
            group = []
    yield group


def _check(request: vpb.HashRangeRequest) -> None:
    """Check a request.

    Raises:
        ApiError: The key is empty, or the parts are not described.
    """
    if not request.key:
        raise ApiError(EMPTY_KEY)
    if request.cuts:
        ends = [cut.end for cut in request.cuts]
        if not request.range_end or ends[-1] != request.range_end or not _ascending([request.key, *ends]):
            raise ApiError(_NO_CUTS)
    elif request.keys <= 0:
        raise ApiError(_NO_CUTS)


def _ascending(places: list[bytes]) -> bool:
    r"""Return whether places follow one another; only the last may be "\0", which is behind all keys."""
    last = len(places) - 2
    return all(one < other or (at == last and other == b"\0") for at, (one, other) in enumerate(pairwise(places)))


def _cut(cut: vpb.RangePart) -> Part:
    return Part(b"" if cut.end == b"\0" else cut.end, 0, cut.bytes, b"")


def _shown(part: Part) -> vpb.RangePart:
    return vpb.RangePart(end=part.end or b"\0", keys=part.keys, bytes=part.size, hash=part.digest)
