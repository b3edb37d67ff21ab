"""Wrap the `tikv-client` package in typed classes that avoid its traps. No other module imports the package.

* Its exceptions are translated (`package_texts`). Locks that a dead writer left are waited for until they expire.
* Its stream of timestamps does not survive a lost connection to the Placement Driver: the client connects anew.
* Replies above 4 MiB fail, after seconds. So the first page of a client is a single pair, and pages grow by the bytes
  that recent values have had; a page that is still too large is read again in smaller ones.
* A transaction keeps its writes here until it commits: each call into the package costs about 50 us when it is awaited
  by itself, so they are handed over together.
* A commit is never cancelled, and never rolled back while its outcome is unknown.
* It may say OK to a commit of which it sent nothing, while the Placement Driver knows a region and not its leader.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from tikv_client.asynchronous import TransactionClient

from brainctl.errors import InvalidInput
from brainctl.tikv.client import limits
from brainctl.tikv.client.own import OwnClient
from brainctl.tikv.client.package_texts import fitting, not_connected, translate
from brainctl.tikv.client.panics import divert_panics
from brainctl.tikv.client.seam import Client, Pair, Reader, Security, Transaction
from brainctl.tikv.client.traffic import FIRST_PAGE, LARGEST_GET, PAGE_BYTES, Traffic, fitting_page
from brainctl.tikv.errors import NOT_WRITTEN, Failure, TikvFailed, TikvUnavailable

Result = TypeVar("Result")

SETTLE_DOWN = 0.2
"""Seconds that the package's background tasks get before the interpreter may end."""
HANDED_OVER = 256
"""Writes given to the package at a time."""

_commits: set["asyncio.Task[None]"] = set()
"""Commits under way. The event loop has only weak references to tasks, and this set keeps them until they end."""


class _Reads(Reader):
    """`Reader` over a snapshot or transaction of the package, which have the same methods."""

    def __init__(self, inner: Any, traffic: Traffic, where: str) -> None:  # noqa: ANN401 - the package has no types
        self._inner = inner
        self._traffic = traffic
        self._where = where

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """See `Reader`."""
        return await self._get(keys, self._traffic.got.fits(LARGEST_GET))

    async def _get(self, keys: Sequence[bytes], size: int) -> dict[bytes, bytes]:
        """Return the values of those keys that exist, asking for `size` keys at a time.

        Raises:
            TikvFailed: TiKV does not answer, or a single value is larger than a reply can be.
        """
        found: dict[bytes, bytes] = {}
        if len(keys) > size:
            parts = [keys[at : at + size] for at in range(0, len(keys), size)]
            for part in await asyncio.gather(*(self._get(part, size) for part in parts)):
                found |= part
            return found
        try:
            found.update(await self._read("get", "batch_get", list(keys)))
        except TikvFailed as error:
            if error.failure is not Failure.REPLY_TOO_LARGE or len(keys) == 1:
                raise
            return await self._get(keys, fitting(error, len(keys)))
        self._traffic.got.learn(found.values())
        self._traffic.keys["get"] += len(found)
        return found

    async def _read(self, kind: str, method: str, *args: object) -> Any:  # noqa: ANN401 - as the package
        """Call a method of the package, and repeat it while locks are in the way, TiKV is away, or the package itself
        fails.

        Raises:
            TikvFailed: repeating would not help, or PATIENCE has run out.
        """
        time = asyncio.get_running_loop().time
        deadline = time() + limits.PATIENCE
        while True:
            begun = time()
            try:
                async with asyncio.timeout(limits.LOCK_SECONDS if kind == "lock" else limits.ANSWER_SECONDS):
                    return await getattr(self._inner, method)(*args)
            except Exception as error:
                failed = translate(error, self._where)
                self._traffic.failures[failed.failure] += 1
                lasting = failed.failure in (Failure.REPLY_TOO_LARGE, Failure.TOO_LARGE)
                if lasting or time() > deadline:
                    raise failed from error
            finally:
                self._traffic.took(kind, time() - begun)
            await asyncio.sleep(limits.PAUSE)
            await self._recover(failed)

    async def _recover(self, failed: TikvFailed) -> None:
        """Prepare to repeat a read that failed; subclasses reconnect here."""

    async def scan(
        self, start: bytes, end: bytes, limit: int = 0, largest: int = limits.LARGEST_PAGE
    ) -> AsyncIterator[list[Pair]]:
        """See `Reader`."""
        traffic = self._traffic
        left, page = limit, min(traffic.scanned.fits(FIRST_PAGE), largest)
        while start < end:
            size = min(page, left) if limit else page
            try:
                pairs: list[Pair] = await self._read("scan", "scan", start, end, size)
            except TikvFailed as error:
                if error.failure is not Failure.REPLY_TOO_LARGE or size == 1:
                    raise
                page = fitting(error, size)
                continue
            traffic.keys["scan"] += len(pairs)
            traffic.scanned.learn([value for _, value in pairs])
            if pairs:
                yield pairs
            left -= len(pairs)
            if len(pairs) < size or (limit and left <= 0):
                return
            start = pairs[-1][0] + b"\0"
            page = min(largest, page * limits.GROWTH, fitting_page(pairs))

    async def key_pages(self, start: bytes, end: bytes) -> AsyncIterator[list[bytes]]:
        """See `Reader`."""
        # Some servers send the values all the same, so a page of keys can be too large.
        size, growth = limits.FIRST_KEY_PAGE, 4
        while start < end:
            try:
                page: list[bytes] = await self._read("scan_keys", "scan_keys", start, end, size)
            except TikvFailed as error:
                if error.failure is not Failure.REPLY_TOO_LARGE or size == 1:
                    raise
                size, growth = fitting(error, size), 2
                continue
            self._traffic.keys["scan_keys"] += len(page)
            yield page
            if len(page) < size:
                return
            start = page[-1] + b"\0"
            size = min(limits.LARGEST_KEY_PAGE, size * growth, PAGE_BYTES // (sum(map(len, page)) // len(page)))


class PackageSnapshot(_Reads):
    """Reads at one timestamp, over one connection and, when that is lost, over the next."""

    def __init__(self, client: "PackageClient", connection: Any, timestamp: int, traffic: Traffic) -> None:  # noqa: ANN401
        super().__init__(connection.snapshot(timestamp, False), traffic, client.where)
        self._client = client
        self._connection = connection
        self._timestamp = timestamp
        self._until = asyncio.get_running_loop().time() + limits.LONGEST_READ_SECONDS

    async def _read(self, kind: str, method: str, *args: object) -> Any:  # noqa: ANN401 - as the package
        found = await super()._read(kind, method, *args)
        if asyncio.get_running_loop().time() > self._until:
            long = f"a read took longer than {limits.LONGEST_READ_SECONDS:g} s, and what it needs may be gone"
            raise TikvFailed(Failure.UNDETERMINED, long, self._where)
        return found

    async def _recover(self, failed: TikvFailed) -> None:
        if failed.failure is not Failure.LOCKED:
            self._client.drop(self._connection)
            with suppress(TikvUnavailable):
                self._connection = await self._client.connection()
                self._inner = self._connection.snapshot(self._timestamp, False)


class PackageTransaction(_Reads, Transaction):
    """A transaction of the package. It belongs to one connection, and fails with it."""

    def __init__(self, client: "PackageClient", connection: object, begun: Any, traffic: Traffic) -> None:  # noqa: ANN401
        super().__init__(begun, traffic, client.where)
        self._client = client
        self._connection = connection

    async def _recover(self, failed: TikvFailed) -> None:
        if failed.failure is not Failure.LOCKED:
            self._client.drop(self._connection)
            raise failed

    async def get_locked(self, key: bytes) -> bytes | None:
        """See `Transaction`."""
        value: bytes | None = await self._read("lock", "get_for_update", key)
        return value

    async def commit(self, writes: Mapping[bytes, bytes | None]) -> int:
        """See `Transaction`; the package does not tell the timestamp of a commit."""
        inner, self._inner = self._inner, None
        task = asyncio.ensure_future(_commit(inner, list(writes.items()), self._where))
        task.add_done_callback(partial(self._committed, asyncio.get_running_loop().time()))
        _commits.add(task)
        task.add_done_callback(_commits.discard)
        try:
            await asyncio.shield(task)
        except TikvFailed as error:
            if error.failure not in NOT_WRITTEN:
                self._client.drop(self._connection)
            raise
        return 0

    def _committed(self, begun: float, task: "asyncio.Task[None]") -> None:
        self._traffic.took("commit", asyncio.get_running_loop().time() - begun)
        if not task.cancelled() and isinstance(error := task.exception(), TikvFailed):
            self._traffic.failures[error.failure] += 1

    def abandon(self) -> None:
        """See `Transaction`."""
        self._client.drop(self._connection)

    async def rollback(self) -> None:
        """See `Transaction`."""
        inner, self._inner = self._inner, None
        if inner is not None:
            await _rollback(inner)


async def _commit(
    inner: Any,  # noqa: ANN401 - as the package
    writes: list[tuple[bytes, bytes | None]],
    where: str,
) -> None:
    """Hand over the writes to the package and commit; roll back only what is certain not to be written.

    Raises:
        TikvFailed: as `Transaction.commit`.
    """
    # The package's own put is a coroutine, which begins only when its turn comes. The put of the object inside begins
    # at once, so that a whole part of the writes is handed over together.
    put, delete = inner.inner.put, inner.inner.delete
    try:
        for at in range(0, len(writes), HANDED_OVER):
            part = writes[at : at + HANDED_OVER]
            await asyncio.gather(*(delete(key) if value is None else put(key, value) for key, value in part))
    except Exception as error:
        await _rollback(inner)
        raise translate(error, where) from error
    try:
        await inner.commit()
    except Exception as error:
        failed = translate(error, where)
        if failed.failure in NOT_WRITTEN:
            await _rollback(inner)
        # When the outcome is unknown, the transaction is dropped here, and with it what keeps its locks alive.
        raise failed from error


async def _rollback(inner: Any) -> None:  # noqa: ANN401 - as the package
    """Roll back, and ignore a failure: locks that stay expire by themselves."""
    try:
        await inner.rollback()
    except Exception:  # noqa: BLE001 - what could not be rolled back expires by itself
        return


class PackageClient(Client):
    """See `Client`."""

    commits_in_part = True

    def __init__(self, endpoints: Sequence[str]) -> None:
        """Create a client with the addresses of the Placement Driver, each "host:port"."""
        self._endpoints = list(endpoints)
        self.where = ",".join(endpoints)
        self._inner: Any = None
        self._connecting = asyncio.Lock()
        self._other = OwnClient(endpoints, Security())
        """For what the package does not offer."""
        self.traffic = Traffic()

    async def timestamp(self) -> int:
        """See `Client`."""
        return int(await self._connected("timestamp", lambda inner: inner.current_timestamp()))

    async def snapshot(self, timestamp: int) -> PackageSnapshot:
        """See `Client`."""
        return PackageSnapshot(self, await self.connection(), timestamp, self.traffic)

    async def begin(self, *, locking: bool = False) -> PackageTransaction:
        """See `Client`."""

        async def begin(connection: Any) -> PackageTransaction:  # noqa: ANN401 - the package has no types
            begun = await connection.begin(pessimistic=locking)
            return PackageTransaction(self, connection, begun, self.traffic)

        return await self._connected("begin", begin)

    async def collect(self, timestamp: int) -> None:
        """See `Client`."""
        await self._connected("collect", lambda connection: connection.inner.gc(timestamp))

    async def hold_safe_point(self, service: bytes, timestamp: int, seconds: int) -> int:
        """See `Client`. The package does not offer it."""
        return await self._other.hold_safe_point(service, timestamp, seconds)

    async def safe_point(self) -> int:
        """See `Client`. The package does not offer it."""
        return await self._other.safe_point()

    async def close(self) -> None:
        """See `Client`; gives the package's tasks SETTLE_DOWN seconds to end."""
        await self._other.close()
        if self._inner is not None:
            self._inner = None
            await asyncio.sleep(SETTLE_DOWN)

    def drop(self, connection: object) -> None:
        """Drop a connection that failed, so that the next call makes another one."""
        if self._inner is connection:
            self._inner = None

    async def connection(self) -> Any:  # noqa: ANN401 - the package has no types
        """Return the package's client, connected.

        Raises:
            TikvUnavailable: no connection can be made.
        """
        async with self._connecting:
            if self._inner is None:
                try:
                    divert_panics()
                    async with asyncio.timeout(limits.ANSWER_SECONDS):
                        self._inner = await TransactionClient.connect(self._endpoints)
                except Exception as error:
                    raise not_connected(error, self.where) from error
            return self._inner

    async def _connected(self, kind: str, call: Callable[[Any], Awaitable[Result]]) -> Result:
        """Make a call that needs the Placement Driver, and repeat it over a new connection while the old one is lost.

        Raises:
            TikvFailed: it still fails when PATIENCE has run out.
        """
        time = asyncio.get_running_loop().time
        deadline = time() + limits.PATIENCE
        while True:
            begun = time()
            inner: Any = None
            try:
                inner = await self.connection()
                async with asyncio.timeout(limits.ANSWER_SECONDS):
                    return await call(inner)
            except TikvFailed as error:
                failed = error
            except Exception as error:  # noqa: BLE001 - the package raises nothing more exact
                failed = translate(error, self.where)
                self.drop(inner)
            finally:
                self.traffic.took(kind, time() - begun)
            self.traffic.failures[failed.failure] += 1
            if time() > deadline:
                raise failed
            await asyncio.sleep(limits.PAUSE)


def package_client(endpoints: Sequence[str], security: Security) -> PackageClient:
    """Return a client of the package.

    Raises:
        InvalidInput: it cannot do what `security` asks for.
    """
    if any(security):
        raise InvalidInput("the tikv-client package has no settings for TLS: use brainctl's own client (client=own)")
    return PackageClient(endpoints)
