"""The leases that the target must get before a key is written, and those that it must remove.

A lease that keys are attached to exists in the target before the keys do. When the source has lost it meanwhile, the
deletes of its keys come later in the stream, and until then a placeholder stands in for the lease. A target never lets
a lease expire while it is a replica.
"""

from collections.abc import Iterable

from brainctl.migrate.machine.events import Lease, LeasesFetched, LeasesListed

PLACEHOLDER_TTL = 60
"""Seconds granted to a lease that the source no longer has."""


class LeaseBook:
    """The leases that the target holds, and the changes that are due."""

    def __init__(self, held: Iterable[int]) -> None:
        self.held = set(held)
        """The ids that the target holds once all requested writes are durable."""
        self._grants: dict[int, Lease] = {}
        """Leases to grant with the next write, by id."""
        self._drops: set[int] = set()
        """Ids to drop once the watermark has reached `_drops_at`."""
        self._drops_at = 0

    def missing(self, wanted: frozenset[int]) -> tuple[int, ...]:
        """Return those of the ids that the target does not hold and will not hold after the next grants."""
        return tuple(sorted(wanted - self.held - self._grants.keys()))

    def keep(self, wanted: frozenset[int], revision: int) -> None:
        """Keep leases whose keys, up to `revision`, are about to be written.

        A list of an older revision that said that they are gone does not hold any more: an id may be used again.
        """
        if revision > self._drops_at:
            self._drops -= wanted

    def fetched(self, answer: LeasesFetched) -> None:
        """Schedule grants of the leases that were looked up: as the source has them, or as placeholders."""
        found = {lease[0]: lease for lease in answer.found}
        for asked in answer.asked:
            self._grants[asked] = found.get(asked, (asked, PLACEHOLDER_TTL, PLACEHOLDER_TTL))

    def listed(self, answer: LeasesListed) -> None:
        """Schedule grants of new leases, and drops of missing ones once all up to the list's revision is applied."""
        self._grants |= {lease[0]: lease for lease in answer.details}
        self._drops = set(answer.held - answer.live)
        self._drops_at = answer.revision

    def take_grants(self) -> tuple[Lease, ...]:
        """Return the grants to write now."""
        grants = tuple(self._grants.values())
        self._grants.clear()
        self.held.update(lease for lease, _, _ in grants)
        return grants

    def take_drops(self, watermark: int) -> tuple[int, ...]:
        """Return the leases to remove, now that the target has reached `watermark`."""
        if watermark < self._drops_at:
            return ()
        drops = tuple(sorted(self._drops & self.held))
        self._drops.clear()
        self.held.difference_update(drops)
        return drops

    @property
    def settled(self) -> bool:
        """Return whether no change is due."""
        return not self._grants and not self._drops

    def forget(self) -> None:
        """Record that the target was emptied, so every lease is written again."""
        self.held.clear()
        self._grants.clear()
        self._drops.clear()
