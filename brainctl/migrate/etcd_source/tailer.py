"""The change stream of the source, from a revision on, as events of the state machine."""

from collections.abc import AsyncIterator

from brainctl.errors import ApiError, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.etcd_source.reader import check_cluster
from brainctl.migrate.etcd_source.revision_assembler import Assembler
from brainctl.migrate.machine.events import SourceCompacted, Streamed
from brainctl.stores.watching import Watching


async def tail(watching: Watching, attempt: int, cluster: int) -> AsyncIterator[Streamed | SourceCompacted]:
    """Yield an empty Streamed once the watch is open, then whole revisions as they arrive; end after SourceCompacted.

    Raises:
        ApiError: The watch was cancelled or ended (UNAVAILABLE), or failed.
        InvalidInput: A response came from another cluster.
    """
    assembler = Assembler()
    async for response in watching:
        check_cluster(response.header.cluster_id, cluster)
        if response.compact_revision:
            yield SourceCompacted(attempt)
            return
        if response.canceled:
            raise ApiError(Status(Code.UNAVAILABLE, _reason(response)))
        revisions = assembler.feed(response)
        if revisions or response.created:
            yield Streamed(attempt, revisions)
    raise ApiError(Status(Code.UNAVAILABLE, "the watch ended"))


def _reason(response: pb.WatchResponse) -> str:
    return response.cancel_reason or "the watch was canceled"
