"""The limit of bytes per second."""

import asyncio

import pytest

from brainctl.clock import ManualClock
from brainctl.verify.pace import BURST, Pace


@pytest.mark.parametrize(("rate", "waits"), [(0, []), (BURST, [0.5, 1.0])])
def test_a_rate_is_kept(rate: int, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = ManualClock(), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def story() -> None:
        pace = Pace(rate, clock)
        for size in (BURST // 2, BURST, BURST):
            await pace.wait(size)

    asyncio.run(story())
    assert slept == waits
