"""Large answers become JSON on threads of their own, few at a time: one takes several times its size meanwhile."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from brainctl.errors import TOO_MANY_REQUESTS, ApiError
from brainctl.log import Fact

_log = logging.getLogger(__name__)
_ADVICE = "ask for less at a time, or use gRPC"

_AT_ONCE: Final = 2
_SHARE: Final = 8
"""Divisor of the memory of clients; the quotient may wait to become JSON."""


class LargeAnswers:
    """Admission of large answers of the gateway."""

    def __init__(self, clients_bytes: int) -> None:
        """Set the limit to a share of `clients_bytes`, the bytes that the server may hold for its clients."""
        self._most = clients_bytes // _SHARE
        self._held = 0
        self._threads = ThreadPoolExecutor(_AT_ONCE, "json")
        self.refused = 0
        """Answers that were not given because too many waited."""
        self._busy = False

    async def encode(self, work: Callable[[bytes], bytes], answer: bytes) -> bytes:
        """Return what `work` makes of a marshalled answer.

        Raises:
            ApiError: RESOURCE_EXHAUSTED, when those that wait hold too much.
        """
        if self._held and self._held + len(answer) > self._most:
            self._refuse()
        self._held += len(answer)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, answer)
        finally:
            self._held -= len(answer)
            self._busy = self._busy and bool(self._held)

    def _refuse(self) -> None:
        self.refused += 1
        if not self._busy:
            self._busy = True
            _log.warning(Fact("large answers of the gateway are refused", held_bytes=self._held, advice=_ADVICE))
        raise ApiError(TOO_MANY_REQUESTS)
