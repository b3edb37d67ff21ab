"""Limit what a peer may send without asking for anything."""

from collections.abc import Callable

from brainctl.wire.frames import ConnectionFault, ErrorCode
from brainctl.wire.limits import Limits


class Budget:
    """The control frames and resets that a peer has left until the next tick."""

    def __init__(self, limits: Limits, earned: Callable[[], int]) -> None:
        """Create the budget of a first tick; `earned` returns a count that requests and answers add to."""
        self._limits = limits
        self._earned = earned
        self._earned_until = 0
        self._controls_left = limits.control_frames
        self._resets_left = limits.resets

    def tick(self) -> None:
        """Grant the next portion."""
        self._controls_left = self._limits.control_frames
        self._earned_until = self._earned()
        self._resets_left = self._limits.resets

    def control(self, cost: int = 1) -> None:
        """Count frames without a request, to whose limit requests and answers add.

        Raises:
            ConnectionFault: there are too many (ENHANCE_YOUR_CALM).
        """
        self._controls_left -= cost
        if self._controls_left < 0:
            # Clients that measure the bandwidth (grpc-go) send a PING for nearly every answer: answers earn frames.
            earned = self._earned()
            self._controls_left += earned - self._earned_until
            self._earned_until = earned
        if self._controls_left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames")

    def reset(self) -> None:
        """Count a stream that was reset.

        Raises:
            ConnectionFault: there are too many (ENHANCE_YOUR_CALM).
        """
        self._resets_left -= 1
        if self._resets_left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")
