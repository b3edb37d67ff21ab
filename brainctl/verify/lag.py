"""The lag of one side behind the other, and whether it counts as a difference."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from brainctl.verify.difference import ExtraRevisions, LagDifference, MissingRevisions

LOOKS = 5
"""Number of times that the revisions are read again while a side is behind."""


class Newest(NamedTuple):
    """The newest revision of each side."""

    expected: int
    found: int

    @property
    def lag(self) -> int:
        """Return the number of revisions by which one side is behind the other."""
        return abs(self.expected - self.found)


class Standing(NamedTuple):
    """The revisions of both sides when the comparison of their keys begins."""

    newest: Newest
    difference: LagDifference | None
    """The revisions that one side lacks; None when none, or when that is allowed."""


async def standing(read: Callable[[], Awaitable[Newest]], max_lag: int, first_pause: float, *, live: bool) -> Standing:
    """Return the revisions of both sides, after giving the one that is behind time to catch up.

    It may reach the revision at which the other was seen first: it gets time as long as it moves, and in a live
    comparison for all of LOOKS. Being more than `max_lag` revisions behind is a difference. A live comparison allows as
    much as it saw, while both sides move and the distance does not grow.

    Args:
        read: Reads the newest revision of each side.
        max_lag: The number of revisions that one side may be behind.
        first_pause: Seconds before the second read; they double each time.
        live: Both may take writes.
    """
    first = newest = await read()
    goal, most, pause = max(first), first.lag, first_pause
    for _ in range(LOOKS):
        if newest.lag <= max_lag or min(newest) >= goal:
            break
        await asyncio.sleep(pause)
        pause *= 2
        before, newest = newest, await read()
        most = max(most, before.lag)
        if not live and min(newest) <= min(before):
            break
    both_move = newest.expected > first.expected and newest.found > first.found
    if newest.lag <= max_lag or min(newest) >= goal or (live and both_move and newest.lag <= most):
        return Standing(newest, None)
    kind = MissingRevisions if newest.found < newest.expected else ExtraRevisions
    return Standing(newest, kind(min(newest) + 1, max(newest)))
