"""Limit the PINGs of a client, and send one to a client that is silent.

The rules are those of gRPC servers (grpc-go internal/transport/http2_server.go), on which clients rely. Time is counted
in ticks, about a second each, in favour of the client.
"""

from enum import Enum
from math import ceil
from typing import Final

from brainctl.wire.limits import Limits

TOO_MANY_PINGS: Final = "too_many_pings"
"""The text of the GOAWAY from which clients know that they are to ping less often."""
_STRIKES: Final = 2
"""PINGs that may come too early before the connection is closed."""
_IDLE_TICKS: Final = 7200
"""Ticks that a client with no open stream must leave between two PINGs."""
_NEVER: Final = -(1 << 60)


class Silence(Enum):
    """Reaction to the silence of a client."""

    NOTHING = 0
    ASK = 1
    """Send it a PING."""
    CUT = 2
    """Close the connection: it has not answered a PING."""


class Keepalive:
    """The ticks and PINGs of one connection."""

    def __init__(self, limits: Limits) -> None:
        self._between = ceil(limits.ping_min_seconds)
        self._ask = ceil(limits.silence_seconds)
        self._cut = self._ask + ceil(limits.ping_timeout_seconds) if limits.ping_timeout_seconds else 0
        self._now = 0
        self._heard = 0
        self._pinged = _NEVER
        self._strikes = 0
        self._before: tuple[int, ...] = ()

    def admits_ping(self, state: tuple[int, ...], streams: int) -> bool:
        """Return whether a PING may come now.

        Args:
            state: changes with every request and every answer: a PING after such a change is always in order, since
                clients measure the connection with it.
            streams: the number of open streams.
        """
        if not self._between:
            return True
        waited = self._now - self._pinged + 1
        self._pinged = self._now
        if state != self._before:
            self._before = state
            self._strikes = 0
        elif waited < (self._between if streams else _IDLE_TICKS):
            self._strikes += 1
        return self._strikes <= _STRIKES

    def heard(self) -> None:
        """Record that bytes came from the client, which answers a pending PING as well."""
        self._heard = self._now

    def tick(self) -> Silence:
        """Count a second, and return what the silence of the client calls for."""
        self._now += 1
        silent = self._now - self._heard
        if not self._ask or not self._cut or silent < self._ask:
            return Silence.NOTHING
        if silent == self._ask:
            return Silence.ASK
        return Silence.CUT if silent >= self._cut else Silence.NOTHING
