"""A client and a server role joined in memory, so that each test checks both."""

from brainctl.wire.client import ClientConnection
from brainctl.wire.events import Closed, Event, Requests
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection

Role = ServerConnection | ClientConnection
UNARY = "/etcdserverpb.KV/Range"
STREAM = "/etcdserverpb.Watch/Watch"


class ConnectionPair:
    """Carries bytes between the two; `step` cuts them into pieces of that many bytes."""

    def __init__(self, limits: Limits | None = None, client_limits: Limits | None = None, step: int = 0) -> None:
        self.server = ServerConnection(frozenset({STREAM}), limits)
        self.client = ClientConnection("test", limits=client_limits) if client_limits else ClientConnection("test")
        self.step = step
        self.wire: list[bytes] = []
        self.run()

    def run(self) -> tuple[list[Event], list[Event]]:
        """Exchange until both are silent: the events of the server, and of the client."""
        at_server: list[Event] = []
        at_client: list[Event] = []
        while True:
            moved = self._carry(self.client, self.server, at_server)
            moved |= self._carry(self.server, self.client, at_client)
            if not moved:
                break
        assert not [event for event in at_server + at_client if isinstance(event, Closed) and event.code]
        return at_server, at_client

    def _carry(self, sender: Role, receiver: Role, events: list[Event]) -> bool:
        data = sender.take()
        self.wire.append(data)
        step = self.step or len(data) or 1
        for at in range(0, len(data), step):
            events += receiver.receive(data[at : at + step])
        return bool(data)


def shape(events: list[Event]) -> list[tuple[object, ...]]:
    """Events as plain values: a head is named by its path; calls are taken one by one."""
    shapes: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, Requests):
            shapes += [("Request", number, event.head.path, body) for number, body in unary_calls([event])]
        else:
            shapes.append((type(event).__name__, *(getattr(value, "path", value) for value in event)))
    return shapes


def unary_calls(events: list[Event]) -> list[tuple[int, bytes]]:
    """Stream and message of the unary calls among the events."""
    found = [zip(event.stream_ids, event.bodies, strict=True) for event in events if isinstance(event, Requests)]
    return [call for each in found for call in each]
