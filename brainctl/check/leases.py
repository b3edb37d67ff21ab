"""Check that a lease ends not before the time that its last renewal gave it, and not long after that.

A renewal took place between its call and its return, so the lease lives at least until call + TTL, and ends by itself
at most some time after return + TTL. etcd prolongs leases by their TTL when a leader changes; that is allowed for.
"""

from typing import NamedTuple

from brainctl.check.line import Line
from brainctl.check.order import NEVER, NOT_YET

SECOND = 1_000_000_000
EARLY = 0.01
"""Share of a TTL by which a lease may seem to end too early: two clocks do not run alike."""
GRACE_SECONDS = 10
"""Seconds after its TTL, twice, for which a lease may still have its keys."""


class Lease(NamedTuple):
    """Knowledge about a lease: times in nanoseconds, and the line that each is from."""

    until: int = NOT_YET
    """Earliest end of the lease."""
    latest: int = NEVER
    """Latest end of the lease."""
    renewed_by: Line | None = None
    revoked_by: Line | None = None
    """A revoke that was called, acknowledged or not."""


class Leases:
    """All leases of a history."""

    def __init__(self) -> None:
        self._known: dict[int, Lease] = {}
        self.due: dict[int, Line] = {}
        """Acknowledged revokes that were not yet seen to take effect, by lease."""

    def get(self, lease: int) -> Lease:
        """Return what is known of a lease."""
        return self._known.get(lease, _NOTHING)

    def observe(self, line: Line) -> None:
        """Take a grant, a keepalive or a revoke."""
        lease, returned = line["id"], line.get("returned")
        known = self.get(lease)
        if line["op"] == "revoke":
            if "error" not in line:
                self._known[lease] = known._replace(revoked_by=line)
                if returned is not None:
                    self.due[lease] = line
            return
        ttl = line.get("ttl", 0) * SECOND
        if "error" in line or (returned is not None and ttl <= 0):
            return
        if returned is None:
            self._known[lease] = known._replace(latest=NEVER)
            return
        until = max(known.until, line["called"] + int(ttl * (1 - EARLY)))
        before = NOT_YET if known.latest == NEVER and known.renewed_by is None else known.latest
        latest = max(before, returned + 2 * ttl + GRACE_SECONDS * SECOND)
        self._known[lease] = known._replace(until=until, latest=latest, renewed_by=line)


_NOTHING = Lease()
