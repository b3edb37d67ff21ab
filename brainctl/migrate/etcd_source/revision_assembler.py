"""Watch responses put together to whole revisions.

A server splits a response at its size limit (`fragment`), so a revision may go on in the next response. Its events are
held back until it is complete, which is certain when an event of a later revision arrives, or with the last fragment.

Example: `feed` of three responses, where 8a is the first event of revision 8:

    7a 8a, fragment      returns revision 7; 8a is held
    8b 9a, fragment      returns revision 8 (8a 8b); 9a is held
    9b, no fragment      returns revision 9 (9a 9b)
"""

from itertools import groupby

from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.machine.events import RevisionRead


class Assembler:
    """Holds the events of one watch that are not known to be a whole revision."""

    def __init__(self) -> None:
        self._held: list[kvpb.Event] = []

    def feed(self, response: pb.WatchResponse) -> list[RevisionRead]:
        """Return the revisions that `response` completes, in order."""
        events = [*self._held, *response.events]
        self._held = []
        if response.fragment and events:
            last = events[-1].kv.mod_revision
            self._held = [event for event in events if event.kv.mod_revision == last]
            events = events[: len(events) - len(self._held)]
        return [_revision(number, list(group)) for number, group in groupby(events, key=_mod_revision)]


def _mod_revision(event: kvpb.Event) -> int:
    return event.kv.mod_revision


def _revision(number: int, events: list[kvpb.Event]) -> RevisionRead:
    encoded = [event.SerializeToString() for event in events]
    leases = frozenset(event.kv.lease for event in events if event.kv.lease)
    return RevisionRead(number, encoded, sum(map(len, encoded)), leases)
