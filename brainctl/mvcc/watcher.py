"""One watcher of a stream, and how it receives its events at the moment."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from brainctl.mvcc.watch_event import watch_id_field
from brainctl.mvcc.watch_index import Subscription


class State(Enum):
    """Way in which a watcher receives its events. SYNCED and BEHIND are etcd's synced and unsynced."""

    SYNCED = "gets each commit as it is published"
    BEHIND = "reads the history until it has caught up"
    PARKED = "missed events while its client did not read; waits for the stream to resume"
    FUTURE = "waits for a revision that is yet to come"
    ENDED = "gets nothing any more"


class WatchSink(Protocol):
    """The stream of a watcher, as the hub uses it."""

    paused: bool
    """The client does not read: hold events back."""
    parked: dict["Watcher", None]
    """Watchers that missed events while the stream was paused."""

    def send(self, response: bytes) -> None:
        """Send a marshalled WatchResponse; may pause or close the stream before it returns."""

    def ended(self, watcher: "Watcher") -> None:
        """Forget a watcher: the hub has sent its last response."""

    def answer_progress(self) -> None:
        """Answer a progress request that had to wait, if it can be answered now."""


@dataclass(slots=True, eq=False)
class Watcher:
    """A watcher; `start` is the revision that its client asked for, 0 for only what is new."""

    stream: WatchSink
    watch_id: int
    interest: Subscription
    start: int = 0
    fragment: bool = False
    progress_notify: bool = False
    state: State = State.ENDED
    next: int = 0
    """While BEHIND or PARKED: the first revision that was not sent."""
    idle_since_tick: bool = True
    """Whether no event was sent since the last tick of the progress timer."""
    id_field: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.id_field = watch_id_field(self.watch_id)
