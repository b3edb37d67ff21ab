"""Worlds: the ways in which operations of unknown outcome can have happened.

A revision that no acknowledged operation has made was made by one whose outcome is unknown, by the end of a lease, or
by somebody who is not in the history. Each possibility is a world of its own; answers that do not fit end worlds. While
there is one world only, it has no changes of its own: the replay has them all.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from brainctl.check.leases import Leases
from brainctl.check.line import Line, Version
from brainctl.check.model import Draft, evaluate, same, tombstone
from brainctl.check.order import NEVER, Order
from brainctl.check.replay import Replay


class Candidate(NamedTuple):
    """Possible origin of a revision."""

    changes: Sequence[Version]
    cause: Line | None
    """None for somebody who is not in the history."""
    called: int = 0
    returned: int = NEVER
    number: int = -1
    """The place among the operations of unknown outcome; -1 for others."""


class World:
    """One way in which it can have been; a `View` of the newest revision."""

    __slots__ = ("draft", "log", "order", "replay", "used")

    def __init__(self, replay: Replay, order: Order) -> None:
        self.replay = replay
        self.order = order
        self.used: frozenset[int] = frozenset()
        """The operations of unknown outcome that have happened."""
        self.log: list[tuple[int, Sequence[Version], Line | None]] = []
        """Revisions that the replay does not have yet."""
        self.draft = Draft(replay)

    def get(self, key: str) -> Version | None:
        """See `View.get`."""
        return self.draft.get(key)

    def span(self, key: str, end: str) -> list[Version]:
        """See `View.span`."""
        return self.draft.span(key, end)

    def add(self, revision: int, changes: Sequence[Version], cause: Line | None) -> None:
        """Add a revision to this world alone."""
        self.log.append((revision, changes, cause))
        self.draft.changes.update((new.key, new) for new in changes)

    def fork(self, revision: int, candidate: Candidate) -> tuple["World", Line | None]:
        """Return the world in which `candidate` has made the next revision, and the line that this contradicts."""
        fork = World(self.replay, self.order.copy())
        fork.log = [*self.log]
        fork.draft.changes = dict(self.draft.changes)
        fork.used = self.used | {candidate.number} if candidate.number >= 0 else self.used
        fork.add(revision, candidate.changes, candidate.cause)
        if candidate.cause is None:
            fork.order.before, fork.order.before_by = fork.order.latest, fork.order.latest_by
            return fork, None
        return fork, fork.order.write(candidate.cause, candidate.called, candidate.returned)

    def settle(self) -> None:
        """Move the changes of this world, the only one left, into the replay."""
        for revision, changes, cause in self.log:
            if changes:
                self.replay.apply(revision, changes, cause)
            self.replay.position = revision
        self.log = []
        self.draft = Draft(self.replay)

    def past(self, revision: int) -> Draft:
        """Return the keys at an earlier revision; a `View`."""
        past = Draft(self.replay.at(min(revision, self.replay.position)))
        for at, changes, _ in self.log:
            if at <= revision:
                past.changes.update((new.key, new) for new in changes)
        return past

    def attached(self, lease: int) -> list[str]:
        """Return the keys of a lease, in order."""
        keys = {key for key in self.replay.attached.get(lease, ()) if key not in self.draft.changes}
        keys.update(key for key, new in self.draft.changes.items() if new.version and new.lease == lease)
        return sorted(keys)

    def leases(self) -> set[int]:
        """Return the leases that may have keys."""
        found = {lease for lease, keys in self.replay.attached.items() if keys}
        found.update(new.lease for new in self.draft.changes.values() if new.lease)
        return found

    def signature(self) -> tuple[object, ...]:
        """Return what makes this world differ from the others."""
        return self.used, frozenset(self.draft.changes.items()), self.order.latest, self.order.before


def candidates(
    world: World, revision: int, pending: dict[int, Line], leases: Leases, *, exclusive: bool
) -> Iterator[Candidate]:
    """Yield all that may have made `revision` in a world, each with its changes."""
    if not exclusive:
        yield Candidate((), None)
    for number, line in pending.items():
        if number not in world.used and (changes := evaluate(line, world, revision).changes):
            yield Candidate(changes, line, line["called"], NEVER, number)
    for lease in world.leases():
        if keys := world.attached(lease):
            yield _end(lease, [tombstone(key, revision) for key in keys], leases)


def _end(lease: int, changes: Sequence[Version], leases: Leases) -> Candidate:
    """Return the end of a lease, by a revoke if that can have been earlier than its time."""
    known = leases.get(lease)
    revoke = known.revoked_by
    if revoke is not None and revoke["called"] <= known.until:
        returned = revoke.get("returned")
        return Candidate(changes, revoke, revoke["called"], NEVER if returned is None else returned)
    expiry: Line = {"op": "expiry", "id": lease, "called": known.until}
    if known.renewed_by is not None:
        expiry["ttl"] = known.renewed_by.get("ttl", 0)
    return Candidate(changes, expiry, known.until)


def fits(changes: Sequence[Version], seen: dict[str, Version], *, complete: bool) -> bool:
    """Return whether changes are those that watches have delivered.

    Args:
        changes: What may have happened.
        seen: The events of the revision, by key.
        complete: Whether there can be no others.
    """
    if not seen and not complete:
        return True
    made = {new.key: new for new in changes}
    if complete and made.keys() != seen.keys():
        return False
    return all(key in made and _shown_by(event, made[key]) for key, event in seen.items())


def _shown_by(event: Version, new: Version) -> bool:
    """Return whether an event shows a change; that its revisions may be wrong is for others to say."""
    if not new.version or event.version == 0:
        return new.version == event.version
    return same(Version(*new[:4], *event[4:]), new)
