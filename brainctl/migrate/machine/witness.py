"""Evidence that the source still has the history that was copied from it, and the error when it has not.

A source that was restored from an older state answers under the same cluster id, and soon has the old revision numbers
again, with other changes. Three checks notice it:

* its revision, and the term and the index of its Raft log, never go back (`Position`);
* the newest revisions that were taken from it are still the same, event by event (`Witness`);
* at the base revision it has as many keys as before (`confirm_base`).

Example: revisions 8 to 12 were applied. The source is restored from a backup at revision 9, and other writes bring it
to revision 12 again. The witness has digests of revisions 8 to 12; that of 10 differs, so nothing more is applied.
"""

from collections import deque
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple, Self

from brainctl.errors import InvalidInput
from brainctl.migrate.machine.events import RevisionRead

WINDOW = 8
"""The number of the newest revisions that are compared."""
WINDOW_BYTES = 1 << 20
"""The most bytes of these revisions, except for the newest one: they are read again after each interruption."""
DIGEST_BYTES = 6
"""Bytes of a digest. A few suffice: it must notice other changes, not withstand a forger."""


class WentBack(InvalidInput):
    """The source is not what it was: changes that were copied are not in its history."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the source has gone back: {found}; it was restored from an older state, or is another store, and may "
            "lack what the target has, so nothing more was applied; `--overwrite` copies it anew"
        )


class Position(NamedTuple):
    """The position of the Raft log of the source; zeros when it has none."""

    raft_term: int = 0
    raft_index: int = 0

    def is_behind(self, earlier: Self) -> bool:
        """Return whether a source that was at `earlier` cannot have come here by going on."""
        return 0 < self.raft_term < earlier.raft_term or 0 < self.raft_index < earlier.raft_index

    def up_to(self, later: Self) -> "Position":
        """Return the higher of both terms, and of both indexes."""
        return Position(max(self.raft_term, later.raft_term), max(self.raft_index, later.raft_index))


class Witness(NamedTuple):
    """The digests of consecutive revisions, the last of which is `revision`; there may be none."""

    revision: int
    digests: tuple[str, ...] = ()

    @classmethod
    def decode(cls, revision: int, text: str) -> Self:
        """Return the witness whose `encode` returned `text`."""
        size = 2 * DIGEST_BYTES
        return cls(revision, tuple(text[at : at + size] for at in range(0, len(text), size)))

    def encode(self) -> str:
        """Return the digests as hexadecimal, oldest first."""
        return "".join(self.digests)

    @property
    def first(self) -> int:
        """Return the oldest revision that has a digest."""
        return self.revision - len(self.digests) + 1

    def extend(self, reads: Iterable[RevisionRead]) -> "Witness":
        """Return the witness after the revisions that follow."""
        window: deque[str | RevisionRead] = deque(self.digests, WINDOW)
        last = self.revision
        for read in reads:
            if read.revision <= last:
                continue
            if read.revision != last + 1 or not read.events:
                window.clear()
            if read.events:
                window.append(read)
            last = read.revision
        while sum(read.size for read in window if isinstance(read, RevisionRead)) > WINDOW_BYTES and len(window) > 1:
            window.popleft()
        return Witness(last, tuple(digest(read) if isinstance(read, RevisionRead) else read for read in window))


def digest(read: RevisionRead) -> str:
    """Return the digest of the events of a revision, in their order: DIGEST_BYTES bytes in hexadecimal."""
    state = blake2b(digest_size=DIGEST_BYTES)
    for event in read.events:
        state.update(len(event).to_bytes(8))
        state.update(event)
    return state.hexdigest()
