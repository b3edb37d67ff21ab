"""How many calls there were, by method and by how they ended: plain integers, so that counting costs a call little."""

from collections import Counter
from typing import Final

from brainctl.errors import Code
from brainctl.server.admission import Room
from brainctl.server.buffers import Buffers
from brainctl.server.gateway.large_answers import LargeAnswers
from brainctl.server.gateway.routes import ROUTES
from brainctl.server.in_flight import InFlight

_RANGE_STREAM: Final = "/etcdserverpb.KV/RangeStream"
_KINDS: Final = {
    **{
        route.method: ("bidi_stream" if route.many_requests else "server_stream" if route.many_responses else "unary")
        for route in ROUTES.values()
    },
    _RANGE_STREAM: "server_stream",
}


class Method:
    """The calls of one method."""

    __slots__ = ("failed", "kind", "name", "ok", "service", "started")

    def __init__(self, path: str, kind: str) -> None:
        self.service, _, self.name = path.removeprefix("/").rpartition("/")
        self.kind = kind
        self.started = 0
        self.ok = 0
        """Ended without an error."""
        self.failed: Counter[Code] = Counter()
        """Ended with one."""

    @property
    def pending(self) -> int:
        """Return how many were begun and have not ended."""
        return self.started - self.ok - self.failed.total()

    def ended(self, code: Code) -> None:
        """Count the end of a call with this status code."""
        if code == Code.OK:
            self.ok += 1
        else:
            self.failed[code] += 1


class Calls:
    """The calls of a server, over all its connections."""

    def __init__(self, clients_bytes: int = 0) -> None:
        """Count from 0; `clients_bytes` is what the connections may hold together, 0 for half of the memory."""
        self.methods = {path: Method(path, kind) for path, kind in _KINDS.items()}
        """Entries by path."""
        self._unknown = Method("/unknown/unknown", "unary")
        self.room = Room()
        """Room for connections."""
        self.buffers = Buffers(clients_bytes)
        """Memory that connections hold."""
        self.in_flight = InFlight(self.buffers.limit)
        """Requests in flight."""
        self.large_answers = LargeAnswers(self.buffers.limit)
        """Large answers of the JSON gateway."""
        self.healthy = 0
        """Answers of /health that said so, since the start."""
        self.unhealthy = 0
        """Answers of /health that named a reason."""
        self.received_bytes = 0
        self.sent_bytes = 0

    def of(self, path: str) -> Method:
        """Return the counts of the method at a path; all paths that are not of etcd's API share one."""
        return self.methods.get(path, self._unknown)
