"""How long the event loop has heard nobody: while it was busy, or while the process was stopped.

A beat is expected at regular times. When it comes late, the time by which it is late counts: requests that came
meanwhile wait in the sockets, so that what goes by their coming, such as leases, must not go by that time.
"""

from collections.abc import Callable
from typing import Final

BEAT_SECONDS: Final = 0.1
SLACK_SECONDS: Final = 0.05
"""Later than this is late."""


class Deafness:
    """Of one event loop."""

    def __init__(self, now: Callable[[], float], call_later: Callable[[float, Callable[[], None]], None]) -> None:
        self.seconds = 0.0
        """All of it together, up to the last `listen`."""
        self._now = now
        self._call_later = call_later
        self._expected = now() + BEAT_SECONDS
        call_later(BEAT_SECONDS, self._beat)

    def listen(self) -> float:
        """Seconds that were lost up to now."""
        now = self._now()
        late = now - self._expected
        if late > SLACK_SECONDS:
            self.seconds += late
            self._expected = now
        return self.seconds

    def _beat(self) -> None:
        self.listen()
        self._expected = self._now() + BEAT_SECONDS
        self._call_later(BEAT_SECONDS, self._beat)
