"""Looks whether the source still has the history that was copied from it (`witness` says by what)."""

import asyncio

from brainctl.errors import COMPACTED, FUTURE_REVISION, ApiError, BrainctlError, Code, ConnectionFailed
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.etcd_source.delivery import Shape
from brainctl.migrate.etcd_source.revision_assembler import Assembler
from brainctl.migrate.witness import WentBack, Witness, digest
from brainctl.stores.store import Store
from brainctl.stores.watching import Watching

SILENT_SECONDS = 30.0
"""How long to wait for revisions that the source has."""


async def confirm(store: Store, witness: Witness) -> bool:
    """Read the revisions of `witness` once more from the source; False when they were compacted there.

    Of the revision up to which it is compacted only a part may be left, which proves nothing and is not looked at.

    Raises:
        WentBack: its revision is lower, or the events of one of them are different.
    """
    header = (await store.range(pb.RangeRequest(key=b"\0", count_only=True))).header
    if header.revision < witness.revision:
        raise WentBack(f"it is at revision {header.revision}, behind revision {witness.revision}, which was copied")
    if not witness.digests:
        return True
    start = max(witness.first - 1, 1)  # refused when compaction has reached the first of them
    shapes = iter(Shape)
    shape = next(shapes)
    while True:
        try:
            compacted = await _compare(store, witness, start, shape)
        except BrainctlError as error:
            larger = next(shapes, None) if _may_be_large(error) else None
            if larger is None:
                raise
            shape = larger
            continue
        if not compacted or compacted == witness.revision:
            return True
        if compacted > witness.revision:
            return False
        start = compacted + (compacted <= start)


def _may_be_large(error: BrainctlError) -> bool:
    """Return whether asking in another way may help against `error`."""
    too_large = isinstance(error, ApiError) and error.status.code is Code.RESOURCE_EXHAUSTED
    return too_large or isinstance(error, Silent)


class Silent(ConnectionFailed):
    """The source did not send again what it has."""


async def _compare(store: Store, witness: Witness, start: int, shape: Shape) -> int:
    """Compare what a watch from `start` delivers; return the compacted revision when it is refused, 0 when all is well.

    The revision `start` itself may be there in part, and is only compared when the witness has no later one.
    """
    expected = max(witness.first, min(start + 1, witness.revision))
    assembler = Assembler()
    fragment, max_receive = shape.value
    async with Watching(store, start, fragment=fragment, max_receive=max_receive) as watching:
        responses = aiter(watching)
        while expected <= witness.revision:
            try:
                async with asyncio.timeout(SILENT_SECONDS):
                    response = await anext(responses)
            except (TimeoutError, StopAsyncIteration):
                raise Silent(f"the source did not send revision {expected} again") from None
            if response.compact_revision:
                return response.compact_revision
            if response.canceled:
                raise ConnectionFailed(f"the source did not send revision {expected} again: {response.cancel_reason}")
            for read in assembler.feed(response):
                if expected <= min(read.revision, witness.revision):
                    if read.revision > expected or digest(read) != witness.digests[expected - witness.first]:
                        raise WentBack(f"revision {expected} is another one than that which was copied")
                    expected += 1
    return 0


async def confirm_base(store: Store, revision: int, keys: int) -> None:
    """Raise WentBack unless the source has so many keys at the base revision, or has compacted it."""
    try:
        found = await store.range(pb.RangeRequest(key=b"\0", range_end=b"\0", revision=revision, count_only=True))
    except ApiError as error:
        if error.status == COMPACTED:
            return
        if error.status == FUTURE_REVISION:
            raise WentBack(f"it has not reached revision {revision}, at which it is copied") from error
        raise
    if found.count != keys:
        raise WentBack(f"at revision {revision} it has {found.count} keys, and had {keys} when the copy began")
