"""Describe what a TiKV client does, whichever it is: all that the rest of brainctl knows of one."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from brainctl.tikv.client import limits
from brainctl.tikv.client.traffic import Traffic

Pair = tuple[bytes, bytes]


class Security(NamedTuple):
    """The files of a cluster that is reached over TLS; all empty for one that is not."""

    cacert: str = ""
    """The certificates that those of the servers are checked with, PEM."""
    cert: str = ""
    """The certificate of this client, PEM; needs `key`."""
    key: str = ""
    """The key of `cert`, PEM."""


class Reader(Protocol):
    """Reads of one consistent state: a snapshot, or a transaction. Each raises TikvFailed."""

    @abstractmethod
    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that exist."""

    @abstractmethod
    def scan(
        self, start: bytes, end: bytes, limit: int = 0, largest: int = limits.LARGEST_PAGE
    ) -> AsyncIterator[list[Pair]]:
        """Yield the pairs of a range in key order, in pages of up to `largest`; up to `limit` in all when that is not
        0.
        """

    async def keys(self, start: bytes, end: bytes, limit: int = 0) -> list[bytes]:
        """Return the keys of a range in order, up to `limit` when that is not 0."""
        found: list[bytes] = []
        async for page in self.key_pages(start, end):
            found += page
            if limit and len(found) >= limit:
                return found[:limit]
        return found

    @abstractmethod
    def key_pages(self, start: bytes, end: bytes) -> AsyncIterator[list[bytes]]:
        """Yield the keys of a range in order, in pages of varying size."""

    async def count(self, start: bytes, end: bytes) -> int:
        """Return the number of keys in a range."""
        return sum([len(page) async for page in self.key_pages(start, end)])


class Transaction(Reader):
    """Reads at the timestamp of its beginning, and writes that happen together or not at all."""

    @abstractmethod
    async def get_locked(self, key: bytes) -> bytes | None:
        """Return the newest value of a key, and lock it: no other transaction writes it until this one ends.

        Only a transaction that was begun with `locking` can do so.

        Raises:
            TikvFailed: TiKV does not answer, or the lock is not free in time.
        """

    @abstractmethod
    async def commit(self, writes: Mapping[bytes, bytes | None]) -> int:
        """Write values, and delete the keys whose value is None; on return TiKV says that they are durable.

        Once begun it runs to its end, also when the caller is cancelled.

        Returns:
            The timestamp from which on the writes are seen, or 0 when the client does not know it.

        Raises:
            TikvFailed: when its failure is one of NOT_WRITTEN nothing was written; otherwise the writes may have
                happened or, for as long as the locks last, may still happen.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Drop the connection, which does not answer, so that other calls make a new one. A commit under way stays
        under way.
        """

    @abstractmethod
    async def rollback(self) -> None:
        """Roll back a transaction that is not to be committed; does nothing after `commit`."""


class Client(Protocol):
    """A connection to a TiKV cluster, made with the first use and again after it is lost."""

    where: str
    """The addresses of the cluster's Placement Driver, for messages."""
    commits_in_part: bool
    """Whether a commit that was answered as done may be there in part, so that all of it has to be read back."""
    traffic: Traffic
    """Counts of the requests since the start."""

    @abstractmethod
    async def timestamp(self) -> int:
        """Return a timestamp of the cluster's oracle: reads at it see every commit that was answered before this call.

        Its upper bits are milliseconds, the lowest 18 bits a counter.

        Raises:
            TikvFailed: the Placement Driver does not answer.
        """

    @abstractmethod
    async def snapshot(self, timestamp: int) -> Reader:
        """Return a reader of the state at a timestamp that the oracle gave.

        Raises:
            TikvUnavailable: no connection can be made.
        """

    @abstractmethod
    async def begin(self, *, locking: bool = False) -> Transaction:
        """Begin a transaction that fails when another one has written since a key that it writes.

        Args:
            locking: begin a pessimistic transaction, for `Transaction.get_locked`.

        Raises:
            TikvFailed: TiKV does not answer.
        """

    @abstractmethod
    async def collect(self, timestamp: int) -> None:
        """Run TiKV's garbage collection up to a timestamp.

        Locks older than the timestamp are ended, and it becomes the safe point: values that were replaced or removed
        before it may be dropped.

        Raises:
            TikvFailed: TiKV does not answer.
        """

    @abstractmethod
    async def hold_safe_point(self, service: bytes, timestamp: int, seconds: int) -> int:
        """Register the oldest timestamp that a service needs, and return the oldest one of any service.

        Args:
            service: the name of the service.
            timestamp: what is not older than this is kept for it.
            seconds: how long the registration holds; it is removed when this is not positive.

        Raises:
            TikvFailed: the Placement Driver does not answer.
        """

    @abstractmethod
    async def safe_point(self) -> int:
        """Return the timestamp before which replaced values may be gone.

        Raises:
            TikvFailed: the Placement Driver does not answer.
        """

    @abstractmethod
    async def close(self) -> None:
        """End what runs in the background, and drop the connection."""
