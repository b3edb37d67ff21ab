"""The interface of what is migrated from: pages of keys as of one revision, the changes since, leases and users.

Its answers are the events of the state machine. `etcd_source/` implements it over any store of the etcd API,
`fixed_source.py` over
what never changes, such as a file: the shortest example of a source.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from brainctl.migrate.machine.events import (
    BaseChosen,
    LeasesFetched,
    LeasesListed,
    PageCompacted,
    PageRead,
    ReadPage,
    SourceAt,
    SourceCompacted,
    Streamed,
)
from brainctl.migrate.machine.record import Record
from brainctl.migrate.machine.witness import Witness
from brainctl.stores.store import Store


class Source(Protocol):
    """A store that is migrated from.

    Every read raises BrainctlError when it fails; one with `passing` is repeated for as long as --retry-for allows.
    """

    @property
    def store(self) -> Store | None:
        """Return the store, for comparing both sides; None for a file, which never changes and cannot be cut over."""

    async def cluster(self) -> int:
        """Return the number (64 bits) by which the source is recognised when a migration goes on."""

    async def begin(self, record: Record) -> None:
        """Learn what was copied until now, before the other methods are called.

        Raises:
            WentBack: The source is not what the record says that it was.
        """

    async def revision(self) -> int:
        """Return the newest revision."""

    async def look(self) -> SourceAt:
        """Return the newest revision, and the position of the Raft log if there is one; called about 4 times a second.

        Raises:
            WentBack: The source has gone back.
        """

    async def longer_key(self, size: int) -> bytes | None:
        """Return a key of more than `size` bytes; None when there is none now. It reads all keys, without values."""

    async def choose_base(self, attempt: int, *, oldest: bool) -> BaseChosen | SourceCompacted:
        """Return the revision to copy: the oldest that can be read, or the newest; and where to cut the key space."""

    async def page(self, action: ReadPage) -> PageRead | PageCompacted:
        """Read the next keys of a span as of one revision, about a MiB of them."""

    def changes(self, attempt: int, after: Witness) -> AsyncGenerator[Streamed | SourceCompacted, None]:
        """Yield an empty Streamed once the source has proved to have the revisions of `after`; then whole revisions.

        The revisions that follow `after.revision` come in order and without a gap. When the generator ends or fails
        with an error that passes, it is called again with what was delivered; after SourceCompacted it is not.
        """

    def has_stalled(self, revision: int) -> bool:
        """Return whether `changes` should be called anew, because it has brought nothing of a source at `revision`.

        Raises:
            StreamBroken: It has brought nothing for many minutes.
        """

    async def leases(self, held: frozenset[int], *, final: bool) -> LeasesListed:
        """Return all leases, with the TTLs of those that are not in `held`, or of all of them when `final`."""

    async def fetch(self, ids: tuple[int, ...]) -> LeasesFetched:
        """Return those of the leases that exist, with their TTLs."""

    async def auth(self) -> Mapping[bytes, bytes]:
        """Return the small records of users, roles and the switch of authentication.

        Raises:
            AuthUnreadable: The caller is not permitted to see them.
            InvalidInput: A user cannot be copied.
        """

    async def changed_auth(self) -> Mapping[bytes, bytes] | None:
        """Return what `auth` does; None when nothing has changed since, or that is not known."""

    async def close(self) -> None:
        """Release the source."""
