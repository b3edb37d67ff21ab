"""The time in which the event loop heard nobody: it was busy, or the process was stopped.

A beat is expected at regular times. When it comes late, the delay counts: requests that came meanwhile wait in the
sockets, so whatever ends unless a request comes in time (a lease without keep-alives) must not count that time.
"""

from collections.abc import Callable
from typing import Final

BEAT_SECONDS: Final = 0.1
"""Time from one beat to the next."""
SLACK_SECONDS: Final = 0.05
"""A beat is late when it is later than this."""


class Deafness:
    """The lost time of one event loop."""

    def __init__(self, now: Callable[[], float], call_later: Callable[[float, Callable[[], None]], None]) -> None:
        self.seconds = 0.0
        """The sum of all delays, in seconds, up to the last `listen`."""
        self._now = now
        self._call_later = call_later
        self._expected = now() + BEAT_SECONDS  # when the next beat is due, on the clock of `now`
        call_later(BEAT_SECONDS, self._beat)

    def listen(self) -> float:
        """Return the seconds that were lost up to now."""
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
