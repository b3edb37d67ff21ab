"""Wait for what other processes and threads do."""

import time
from collections.abc import Callable
from typing import Any

SECONDS = 120.0
"""Nothing that is waited for takes longer."""
POLL_SECONDS = 0.02


def until(what: str, holds: Callable[[], Any]) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {SECONDS:g} s: {what}"
        time.sleep(POLL_SECONDS)
    return found
