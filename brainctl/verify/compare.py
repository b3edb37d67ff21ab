"""The comparison of two stores at a revision that both have.

Keys are read on both sides at the common revision, so a difference is real even while both take writes. A side that
has not reached the other's newest revision differs by what it lacks (brainctl.verify.lag). A live comparison tolerates
differences in what has no revision (leases), and a side that lags or jumps while it is compared: there a difference
counts only if it is still there in rechecks at later common revisions.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from brainctl.clock import Clock
from brainctl.stores.store import Store
from brainctl.verify.accounts import Accounts
from brainctl.verify.checkpoint import Reached
from brainctl.verify.difference import (
    Difference,
    ExtraLease,
    KeyDifference,
    LeaseDifference,
    LeaseMismatch,
    MissingLease,
    as_change,
)
from brainctl.verify.history import differences, first_revision, store_of
from brainctl.verify.keys import FIRST_PAUSE, RECHECKS, Counts, KeyComparison
from brainctl.verify.lag import Newest, Standing, standing
from brainctl.verify.pace import Pace
from brainctl.verify.scope import Scope
from brainctl.verify.seen import seen
from brainctl.verify.side import Side

LISTED = 1_000
"""The most differences that a report lists; further ones are only counted."""


@dataclass
class Report:
    """The outcome of a comparison."""

    revision: int
    """The common revision, the last one used when it had to move on."""
    newest: Newest
    """The newest revision of each store when the comparison began."""
    keys: int = 0
    """The number of keys of the first store."""
    bytes: int = 0
    """The bytes of the marshalled KeyValues of these keys."""
    hashed: int = 0
    """The number of these keys that were compared by the hashes of ranges, without being read from both stores."""
    leases: int = 0
    """The number of leases of the first store."""
    oldest: int = 0
    """With the history: the oldest revision that both have; 0 without it."""
    revisions: int = 0
    """The number of revisions after it that were compared."""
    different: int = 0
    """The number of differences."""
    differences: list[Difference] = field(default_factory=list)
    """The first LISTED differences, keys in key order."""
    rechecked: int = 0
    """The number of differences that were found once and were gone in a recheck."""
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """Return whether nothing differs."""
        return self.different == 0


class Comparison:
    """Compares the store `found` with the store `expected`."""

    def __init__(
        self,
        expected: Side,
        found: Side,
        clock: Clock,
        *,
        scope: Scope = Scope(),  # noqa: B008 - immutable
        live: bool = False,
        leases: bool = True,
        auth: bool = True,
        max_lag: int = 0,
        history: bool = False,
        rate: int = 0,
        resume: Reached | None = None,
    ) -> None:
        """Create the comparison of two sides.

        Args:
            expected: The first side.
            found: The second side.
            clock: The clock.
            scope: What is compared. What does not belong to a key is left out unless it is everything.
            live: Both may take writes meanwhile.
            leases: Compare leases.
            auth: Compare users and roles.
            max_lag: How many revisions one may be behind the other.
            history: Compare every revision that both still have, too.
            rate: The bytes per second to read on the first side; 0 for no limit.
            resume: Where an earlier comparison of the same sides has stopped.
        """
        self._expected, self._found = seen(expected, found, scope)
        self._scope = scope
        self._clock = clock
        self._live = live
        self._with_leases = leases and scope.whole
        self._accounts = _accounts(expected, found) if auth and scope.whole else None
        self._max_lag = max_lag
        self._stores = (store_of(expected), store_of(found)) if history else None
        self._pace = Pace(rate, clock)
        self._resume = resume
        self.newest = Newest(0, 0)
        """The newest revision of each store, as last read."""
        self.on_progress: Callable[[int], None] = lambda _keys: None
        """Called after each page with the number of keys compared so far."""
        self.on_difference: Callable[[Difference], None] = lambda _difference: None
        """Called with each difference, also with those that the report does not list."""
        self.on_reached: Callable[[Reached], None] = lambda _reached: None
        """Called now and then with how far the keys are compared."""

    async def run(self) -> Report:
        """Compare everything.

        Raises:
            ApiError: COMPACTED, when no revision can be read on both sides.
        """
        try:
            return await self._run()
        finally:
            await self._expected.close()
            await self._found.close()

    async def _run(self) -> Report:
        """Compare revisions, then users and roles, keys, and leases."""
        began = self._clock.monotonic()
        stand = await self._standing()
        report = Report(min(stand.newest), stand.newest)
        self._count(report, [stand.difference] if stand.difference else [])
        if self._accounts is not None:
            accounts, gone = await self._accounts.differences(FIRST_PAUSE, live=self._live)
            report.rechecked += gone
            self._count(report, accounts)
        if self._stores is not None:
            await self._history(report, self._stores)
        await self._keys(report)
        if self._with_leases:
            await self._leases(report)
        report.seconds = round(self._clock.monotonic() - began, 3)
        return report

    async def _keys(self, report: Report) -> None:
        """Compare keys, from where an earlier comparison has stopped."""
        before, listed = self._resume, list[KeyDifference]()
        counts, different = Counts(report.revision), 0
        if before is not None:
            counts = Counts(before.revision, before.keys, before.size, before.hashed, before.gone, before.place)
            different, listed = before.different, [*before.differences]
            self._count(report, listed)
            report.different += different - len(listed)
        keys = KeyComparison(self._expected, self._found, self._common_revision, counts, self._scope, live=self._live)
        keys.on_progress = self.on_progress
        keys.pace = self._pace.wait
        async for found in keys.differences():
            self._count(report, found)
            different += len(found)
            listed += found[: LISTED - len(listed)]
            if counts.place:
                so_far = (counts.keys, counts.size, counts.hashed, counts.gone)
                self.on_reached(Reached(counts.revision, counts.place, *so_far, different, tuple(listed)))
        report.revision, report.keys, report.bytes = counts.revision, counts.keys, counts.size
        report.hashed = counts.hashed
        report.rechecked += counts.gone

    async def _history(self, report: Report, stores: tuple[Store, Store]) -> None:
        """Compare the state at the oldest revision that both have, and every revision since."""

        def seen(_revision: int) -> None:
            report.revisions += 1

        first = await first_revision(*stores)
        report.oldest = first
        base = KeyComparison(self._expected, self._found, self._common_revision, Counts(first), self._scope, live=False)
        base.pace = self._pace.wait
        async for found in base.differences():
            self._count(report, [as_change(first, entry) for entry in found])
        async for changes in differences(*stores, first + 1, report.revision, self._scope, seen):
            self._count(report, changes)

    def _count(self, report: Report, found: Iterable[Difference]) -> None:
        """Add differences to a report; beyond LISTED count them only."""
        for entry in found:
            report.different += 1
            self.on_difference(entry)
            if len(report.differences) < LISTED:
                report.differences.append(entry)

    async def _standing(self) -> Standing:
        """Return the revisions of both sides, and whether one lacks some that it should have."""
        newest = await self._newest()
        behind = self._expected if newest.expected < newest.found else self._found
        if self._scope.values_only or behind.kind.stands:
            return Standing(newest, None)
        return await standing(self._newest, self._max_lag, FIRST_PAUSE, live=self._live)

    async def _newest(self) -> Newest:
        """Read the newest revision of each side."""
        self.newest = Newest(*await asyncio.gather(self._expected.revision(), self._found.revision()))
        return self.newest

    async def _common_revision(self) -> int:
        """Return the newest revision that both have."""
        return min(await self._newest())

    async def _leases(self, report: Report) -> None:
        """Compare ids and granted TTLs; remaining TTLs always differ."""
        found = await self._lease_differences(report)
        first, pause = {entry.lease for entry in found}, FIRST_PAUSE
        for _ in range(RECHECKS if self._live else 0):
            if not found:
                break
            await asyncio.sleep(pause)
            pause *= 2
            survivors = {entry.lease for entry in found}
            found = [entry for entry in await self._lease_differences(report) if entry.lease in survivors]
        report.rechecked += len(first) - len(found)
        self._count(report, found)

    async def _lease_differences(self, report: Report) -> list[LeaseDifference]:
        """Return the present differences of leases, in the order of their ids."""
        expected, found = await asyncio.gather(self._expected.leases(), self._found.leases())
        report.leases = len(expected)
        differences: list[LeaseDifference] = []
        for lease in sorted(expected.keys() | found.keys()):
            if lease not in found:
                differences.append(MissingLease(lease))
            elif lease not in expected:
                differences.append(ExtraLease(lease))
            elif expected[lease] != found[lease]:
                differences.append(LeaseMismatch(lease, expected[lease], found[lease]))
        return differences


def _accounts(expected: Side, found: Side) -> Accounts | None:
    """Return the comparison of users and roles; None when a side has none to show."""
    first, second = expected.accounts(), found.accounts()
    return None if first is None or second is None else Accounts(first, second)
