"""The change stream of a store: asked for in the form that arrives, and opened again when it stalls."""

from collections.abc import AsyncGenerator

from brainctl.clock import Clock
from brainctl.errors import ApiError, Code
from brainctl.migrate.etcd_source.confirm import confirm
from brainctl.migrate.etcd_source.delivery import MAX_STALLS, Delivery, Silence
from brainctl.migrate.etcd_source.tailer import tail
from brainctl.migrate.machine.event_buffer import StreamBroken
from brainctl.migrate.machine.events import SourceCompacted, Streamed
from brainctl.migrate.machine.witness import Witness
from brainctl.stores.store import Store
from brainctl.stores.watching import Watching


class ChangeStream:
    """Opens the streams of one store, one at a time."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.cluster = 0
        """The cluster that must answer."""
        self.source = 0
        """The newest revision of the store that was seen."""
        self._store = store
        self._clock = clock
        self._delivery = Delivery()
        self._silence = Silence(clock.monotonic())
        self._watching: Watching | None = None
        self._delivered = 0
        """The newest revision that was delivered."""
        self._taken = True
        """Whether the next event is waited for; while it is not, silence says nothing."""

    async def open(self, attempt: int, after: Witness) -> AsyncGenerator[Streamed | SourceCompacted, None]:
        """Yield one stream: see `Source.changes`. It ends when another form of asking is better from here on.

        Raises:
            WentBack: The store is not what was delivered until now; nothing of this stream was delivered.
            BrainctlError: The stream failed.
        """
        self._delivered = after.revision
        self._silence.opened(self._clock.monotonic())
        fragment, max_receive = self._delivery.shape.value
        watching = Watching(self._store, after.revision + 1, fragment=fragment, max_receive=max_receive)
        self._watching = watching
        try:
            async with watching:
                confirmed = False
                async for event in tail(watching, attempt, self.cluster):
                    # Confirm after the first event arrived: the source then is the one that this stream comes from.
                    confirmed = confirmed or await confirm(self._store, after)
                    self._taken = False
                    yield event if confirmed else SourceCompacted(attempt)
                    self._taken = True
                    if not confirmed or isinstance(event, SourceCompacted):
                        return
                    if event.revisions and self._is_behind_large_ones(event):
                        return
        except ApiError as error:
            if error.status.code is not Code.RESOURCE_EXHAUSTED or not self._delivery.too_large(self._delivered):
                raise
        finally:
            self._taken = True

    def _is_behind_large_ones(self, event: Streamed) -> bool:
        """Note delivered revisions.

        Return whether to open the stream again, now that the large responses are behind it.
        """
        self._delivered = event.revisions[-1].revision
        self.source = max(self.source, self._delivered)
        self._silence.arrived(self._clock.monotonic())
        size = sum(read.size for read in event.revisions)
        return self._delivery.arrived(self._delivered, size, self.source)

    def has_stalled(self, revision: int) -> bool:
        """Return whether the stream should be opened again; the source is at `revision`.

        Raises:
            StreamBroken: It has brought nothing for many minutes.
        """
        now = self._clock.monotonic()
        if not self._taken:
            self._silence.busy(now)
        if revision <= self._delivered:
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
