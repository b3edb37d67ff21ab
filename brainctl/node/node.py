"""A node: every RPC of the etcd API by its path, over one medium. No transport here: bytes in, bytes out."""

from collections.abc import AsyncIterator, Callable

from brainctl.clock import Clock
from brainctl.errors import ApiError, Code, Status
from brainctl.node.cluster import ClusterService
from brainctl.node.kv import Handler, KvService
from brainctl.node.lease import LeaseService
from brainctl.node.maintenance import MaintenanceService
from brainctl.node.medium import Medium, Reply
from brainctl.node.watch import WatchService, WatchSession


class Node:
    """One member of a one-member cluster. It owns its medium."""

    def __init__(self, medium: Medium, clock: Clock) -> None:
        self.medium = medium
        self._lease = LeaseService(medium, clock)
        self._watch = WatchService(medium, clock)
        self._maintenance = MaintenanceService(medium)
        handlers: dict[str, Handler] = {
            **KvService(medium).handlers(),
            **self._lease.handlers(),
            **self._maintenance.handlers(),
            **ClusterService(medium).handlers(),
        }
        self.handlers = self._maintenance.alarms.guard(handlers)

    def call(self, method: str, body: bytes, reply: Reply) -> None:
        """Serve a unary RPC: `method` is its path, `body` the marshalled request. `reply` is called once."""
        handler = self.handlers.get(method)
        if handler is None:
            service, _, name = method.removeprefix("/").rpartition("/")
            reply(ApiError(Status(Code.UNIMPLEMENTED, f"unknown method {name} for service {service}")))
        else:
            handler(body, reply)

    def keep_alive(self, body: bytes, reply: Reply) -> None:
        """One exchange on a Lease.LeaseKeepAlive stream."""
        self._lease.keep_alive(body, reply)

    def watch(self, send: Callable[[bytes], None]) -> WatchSession:
        """Open a Watch.Watch stream; `send` takes marshalled WatchResponses."""
        return self._watch.open(send)

    def snapshot(self) -> AsyncIterator[bytes]:
        """The marshalled SnapshotResponses of Maintenance.Snapshot."""
        return self._maintenance.snapshot()

    async def close(self) -> None:
        """Finish the writes that were submitted, then let go of the data."""
        await self.medium.close()
