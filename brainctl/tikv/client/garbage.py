"""Move the safe point of garbage collection, after ending all locks that are older."""

from brainctl.tikv.client import limits
from brainctl.tikv.client.attempts import Attempts
from brainctl.tikv.client.key_errors import LOCKED
from brainctl.tikv.client.locks import refused
from brainctl.tikv.client.methods import SCAN_LOCKS
from brainctl.tikv.client.placement_driver import PlacementDriver
from brainctl.tikv.client.reads import Cluster
from brainctl.tikv.client.region_calls import Regroup
from brainctl.tikv.errors import Failure
from brainctl.tikvpb import kvrpcpb_pb2 as kv


async def collect(cluster: Cluster, driver: PlacementDriver, timestamp: int) -> None:
    """End the locks of the whole cluster that are older than a timestamp, and make that the safe point.

    A value that a committed transaction still has behind a lock would be lost with what it replaces otherwise.

    Raises:
        TikvFailed: TiKV does not answer, or a transaction is older and lives.
    """
    start = b""
    while True:
        attempts = Attempts(cluster.failures)
        region = await cluster.calls.locate(start, attempts)
        try:
            while True:
                request = kv.ScanLockRequest(
                    max_version=timestamp, start_key=start, limit=limits.LOCKS_PER_SCAN, end_key=region.end
                )
                answer = await cluster.calls.send(region, SCAN_LOCKS, request, attempts)
                if answer.HasField("error"):
                    raise refused(answer.error, attempts)
                if not answer.locks:
                    break
                if (await cluster.locks.resolve(answer.locks, 0, attempts)).waiting:
                    await attempts.pause(attempts.failures.of(Failure.LOCKED, LOCKED))
        except Regroup:
            continue
        if not region.end:
            break
        start = region.end
    await driver.move_safe_point(timestamp, Attempts(cluster.failures))
