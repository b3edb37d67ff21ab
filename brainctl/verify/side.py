"""Name what a comparison needs of each of its two sides."""

from typing import NamedTuple, Protocol

from brainctl.stores.auth import AuthReader
from brainctl.verify.diff import Page
from brainctl.verify.range_hashes import Leaves, RangeHashes


class SideKind(NamedTuple):
    """Abilities of a side."""

    stands: bool = False
    """Whether the side is a copy of one moment, which does not have to follow the other side."""
    digested: bool = False
    """Whether the side has the hashes of values instead of the values."""


class Side(Protocol):
    """One side of a comparison. An empty `end` of a range means that there is no upper bound."""

    @property
    def read_bytes(self) -> int:
        """Return the bytes of the marshalled KeyValues read so far."""

    @property
    def kind(self) -> SideKind:
        """Return what the side is able to do."""

    async def revision(self) -> int:
        """Return the newest revision."""

    async def page(self, start: bytes, end: bytes, revision: int) -> Page:
        """Return the keys of a range as they were at `revision`, or the first of them."""

    async def leaves(self, start: bytes, end: bytes, revision: int) -> Leaves:
        """Return the leaves of the keys of a range, or of the first of them."""

    async def key(self, key: bytes, revision: int) -> bytes | None:
        """Return one key's marshalled KeyValue as it was at `revision`; None when it did not exist."""

    async def leases(self) -> dict[int, int]:
        """Return the granted TTL of each lease, in seconds, by id."""

    async def hashes(self) -> RangeHashes | None:
        """Return the state hashes that the side has without reading all values; None when it has none."""

    def accounts(self) -> AuthReader | None:
        """Return what reads the users and roles; None when the side has none to show."""

    async def close(self) -> None:
        """Close what was opened for reading; a store stays open."""
