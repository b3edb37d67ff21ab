"""Which leases the target must get before a key is written, and which it must forget.

A lease that keys are attached to exists in the target before the keys do. When the source has lost it meanwhile,
the deletes of its keys are further on in the stream, and a placeholder stands in for it until then. A target never
lets a lease run out while it is a replica.
"""

from collections.abc import Iterable

from brainctl.migrate.machine.events import Lease, LeasesFetched, LeasesListed

PLACEHOLDER_TTL = 60
"""Seconds granted to a lease that the source no longer has."""


class LeaseBook:
    """The leases that the target holds, and the changes that are due."""

    def __init__(self, held: Iterable[int]) -> None:
        self.held = set(held)
        """The ids that the target holds once all writes asked for are durable."""
        self._grants: dict[int, Lease] = {}
        self._drops: set[int] = set()
        self._drops_at = 0

    def missing(self, wanted: frozenset[int]) -> tuple[int, ...]:
        """Those of the ids that the target does not hold and will not after the next grants."""
        return tuple(sorted(wanted - self.held - self._grants.keys()))

    def keep(self, wanted: frozenset[int], revision: int) -> None:
        """Keys with these leases, up to `revision`, are about to be written: what a list of an older revision said of
        the leases does not hold any more, because an id may be used again.
        """
        if revision > self._drops_at:
            self._drops -= wanted

    def fetched(self, answer: LeasesFetched) -> None:
        """Grant what was asked for: as the source has it, or as a placeholder."""
        found = {lease[0]: lease for lease in answer.found}
        for asked in answer.asked:
            self._grants[asked] = found.get(asked, (asked, PLACEHOLDER_TTL, PLACEHOLDER_TTL))

    def listed(self, answer: LeasesListed) -> None:
        """Grant what is new, and drop what is gone once everything up to the list's revision is applied."""
        self._grants |= {lease[0]: lease for lease in answer.details}
        self._drops = set(answer.held - answer.live)
        self._drops_at = answer.revision

    def take_grants(self) -> tuple[Lease, ...]:
        """The grants to write now."""
        grants = tuple(self._grants.values())
        self._grants.clear()
        self.held.update(lease for lease, _, _ in grants)
        return grants

    def take_drops(self, watermark: int) -> tuple[int, ...]:
        """The leases to forget now that the target has reached `watermark`."""
        if watermark < self._drops_at:
            return ()
        drops = tuple(sorted(self._drops & self.held))
        self._drops.clear()
        self.held.difference_update(drops)
        return drops

    @property
    def settled(self) -> bool:
        """Whether nothing is due."""
        return not self._grants and not self._drops

    def forget(self) -> None:
        """The target was emptied."""
        self.held.clear()
        self._grants.clear()
        self._drops.clear()
