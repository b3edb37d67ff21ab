"""The follower keeps the change stream of the source open, and delivers it to the state machine."""

import asyncio

from brainctl.clock import Clock
from brainctl.errors import ApiError, BrainctlError, Code
from brainctl.migrate.confirm import confirm
from brainctl.migrate.etcd_source.delivery import MAX_STALLS, Delivery, Silence
from brainctl.migrate.etcd_source.tailer import tail
from brainctl.migrate.machine.event_buffer import StreamBroken
from brainctl.migrate.machine.events import Event, SourceCompacted, Streamed, Watch
from brainctl.migrate.machine.phases import STREAMING
from brainctl.migrate.machine.state import Migration
from brainctl.migrate.retry import RetryPolicy
from brainctl.migrate.witness import Witness
from brainctl.stores.store import Store
from brainctl.stores.watching import Watching

WAITING_EVENTS = 100
"""When more events than this wait for the state machine, the stream is not read."""


class Follower:
    """Follows one source for one migration, from one `Watch` to the next."""

    def __init__(
        self, source: Store, migration: Migration, inbox: "asyncio.Queue[Event | Exception]", clock: Clock
    ) -> None:
        self._source = source
        self._migration = migration
        self._inbox = inbox
        self._clock = clock
        self._delivery = Delivery()
        self._silence = Silence(clock.monotonic())
        self._room = asyncio.Event()
        self._full = False
        """Whether reading pauses because the backlog is full."""
        self._watch: Watch | None = None
        self._watching: Watching | None = None
        self._delivered = 0
        """The newest revision that was delivered to the state machine."""
        self._witness = Witness(0)
        """The digests of the newest revisions delivered."""

    def begin(self, watch: Watch) -> None:
        """Set the watch that `run` is to follow from now on."""
        self._watch = watch
        self._delivered = watch.start - 1
        self._witness = Witness.decode(self._delivered, self._migration.record.witness)
        self._silence.opened(self._clock.monotonic())

    async def run(self, patience: RetryPolicy) -> None:
        """Deliver the stream; when it breaks, open it again after the newest revision delivered.

        Raises:
            BrainctlError: An error that does not pass, or patience is over.
        """
        assert self._watch is not None
        while True:
            try:
                if await self._deliver(self._watch, patience):
                    return
            except BrainctlError as error:
                if not (_is_too_large(error) and self._delivery.too_large(self._delivered)):
                    await patience.wait(error)

    async def _deliver(self, watch: Watch, patience: RetryPolicy) -> bool:
        """Deliver one stream; return False to open it again, True when the source was compacted.

        Raises:
            WentBack: The source is not what was delivered until now; nothing of this stream was delivered.
        """
        self._silence.opened(self._clock.monotonic())
        cluster, (fragment, max_receive) = self._migration.record.cluster, self._delivery.shape.value
        async with Watching(self._source, self._delivered + 1, fragment=fragment, max_receive=max_receive) as watching:
            self._watching = watching
            confirmed = False
            async for event in tail(watching, watch.attempt, cluster):
                # Confirm after the first event arrived: the source then is the one that this stream comes from.
                confirmed = confirmed or await confirm(self._source, self._witness)
                patience.succeeded()
                self._inbox.put_nowait(event if confirmed else SourceCompacted(watch.attempt))
                if not confirmed:
                    return True
                if isinstance(event, SourceCompacted):
                    return True
                if event.revisions and self._is_behind_large_ones(event):
                    return False
                await self._has_room()
        raise AssertionError  # not reached: `tail` ends by raising, or after SourceCompacted

    def _is_behind_large_ones(self, event: Streamed) -> bool:
        """Note delivered revisions.

        Return whether to open the stream again, now that the large responses are behind it.
        """
        self._delivered = event.revisions[-1].revision
        self._witness = self._witness.extend(event.revisions)
        self._silence.arrived(self._clock.monotonic())
        size = sum(read.size for read in event.revisions)
        return self._delivery.arrived(self._delivered, size, self._migration.source)

    async def _has_room(self) -> None:
        """Wait while the backlog is full: the source's server holds the rest."""
        self._room.clear()
        if self._migration.full or self._inbox.qsize() > WAITING_EVENTS:
            self._full = True
            await self._room.wait()
            self._full = False

    def room(self) -> None:
        """Resume reading, because there is room in the backlog."""
        self._room.set()

    def has_stalled(self, revision: int) -> bool:
        """Return whether the stream should be opened again; the source is at `revision`.

        Raises:
            StreamBroken: It has brought nothing for many minutes.
        """
        now = self._clock.monotonic()
        if self._full:
            self._silence.busy(now)
        if self._watch is None or self._migration.phase not in STREAMING or revision <= self._delivered:
            return False
        received = self._watching.received if self._watching is not None else None
        if not self._silence.has_stalled(now, received):
            return False
        if not self._delivery.silent(self._delivered) and self._silence.stalls > MAX_STALLS:
            raise StreamBroken(
                f"the source is at revision {revision}, but its change stream has brought nothing after revision "
                f"{self._delivered}; `--history none --overwrite` starts from the newest revision"
            )
        return True


def _is_too_large(error: BrainctlError) -> bool:
    """Return whether a stream ended because a response was larger than the limit."""
    return isinstance(error, ApiError) and error.status.code is Code.RESOURCE_EXHAUSTED
