"""The check that the source still has the history that was copied from it (`witness.py` has the evidence)."""

import asyncio

from brainctl.errors import COMPACTED, FUTURE_REVISION, ApiError, BrainctlError, Code, ConnectionFailed
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.etcd_source.delivery import Shape
from brainctl.migrate.etcd_source.revision_assembler import Assembler
from brainctl.migrate.machine.witness import WentBack, Witness, digest
from brainctl.stores.store import Store
from brainctl.stores.watching import Watching

SILENT_SECONDS = 30.0
"""The longest wait for revisions that the source has, in seconds."""


async def confirm(store: Store, witness: Witness) -> bool:
    """Read the revisions of `witness` from the source again and compare them.

    Of the revision up to which the source is compacted only a part may be left, so it proves nothing and is not
    compared.

    Returns:
        False when the source has compacted the revisions; True when they are as they were.

    Raises:
        WentBack: The revision of the source is lower, or the events of a revision are different.
        ConnectionFailed: The source does not send the revisions.
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
    """Return whether another way of asking may help against `error`."""
    too_large = isinstance(error, ApiError) and error.status.code is Code.RESOURCE_EXHAUSTED
    return too_large or isinstance(error, Silent)


class Silent(ConnectionFailed):
    """The source did not send revisions again that it has."""


async def _compare(store: Store, witness: Witness, start: int, shape: Shape) -> int:
    """Compare the revisions that a watch from `start` delivers.

    The revision `start` itself may be there in part, and is compared only when the witness has no later one.

    Returns:
        0 when all is equal, the compacted revision when the watch is refused.

    Raises:
        WentBack: The events of a revision are different.
        ConnectionFailed: The source does not send the revisions.
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
    """Check that the source has `keys` keys at the base revision, or has compacted it.

    Raises:
        WentBack: It has another number of keys, or has not reached the revision.
    """
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
