"""Wrap the `tikv-client` package in typed classes that avoid its traps. No other module imports the package.

* Its exceptions are translated (`errors`). Locks that a dead writer left are waited for until they expire.
* Its stream of timestamps does not survive a lost connection to the Placement Driver: the client connects anew.
* Replies above 4 MiB fail, after seconds. So the first page of a client is a single pair, and pages grow by the bytes
  that recent values have had; a page that is still too large is read again in smaller ones.
* A transaction keeps its writes here until it commits: each call into the package costs about 50 us when it is awaited
  by itself, so they are handed over together.
* A commit is never cancelled, and never rolled back while its outcome is unknown.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from tikv_client.asynchronous import TransactionClient

from brainctl.tikv.errors import NOT_WRITTEN, Failure, TikvFailed, TikvUnavailable, not_connected, translate
from brainctl.tikv.panics import divert_panics
from brainctl.tikv.traffic import FIRST_PAGE, LARGEST_GET, PAGE_BYTES, Traffic

Result = TypeVar("Result")
Pair = tuple[bytes, bytes]

PATIENCE = 8.0
"""Seconds for which a read waits for locks and for TiKV to come back; a dead writer's locks last about three."""
ANSWER_SECONDS = 6.0
"""Seconds to wait for the package to answer one request; on a connection that has gone silent it would wait for ever.
"""
LOCK_SECONDS = 30.0
"""Seconds to wait for a lock, which may only come when that of a dead process has expired."""
LONGEST_READ_SECONDS = 1500.0
"""Seconds after its timestamp for which a snapshot is read. Later TiKV may have dropped what it needs (`safepoint`)."""
PAUSE = 0.05
"""Seconds between two attempts."""
SETTLE_DOWN = 0.2
"""Seconds that the package's background tasks get before the interpreter may end."""
LARGEST_PAGE = 512
"""Pairs in the largest page. Pages grow as the page before was light; this bounds what a stretch of larger values
costs.
"""
FIRST_KEY_PAGE = 128
"""Keys in the first page of a scan without values."""
LARGEST_KEY_PAGE = 1024
"""Keys in the largest page without values. It is below what is likely to be refused where a server sends the values all
the same: the package retries such a request for seconds.
"""
GROWTH = 8
"""The factor by which a page is larger than the one before it, at most."""
HANDED_OVER = 256
"""Writes given to the package at a time."""

_commits: set["asyncio.Task[None]"] = set()
"""Commits under way. The event loop has only weak references to tasks, and this set keeps them until they end."""


class Reader(Protocol):
    """Reads of one consistent state: a snapshot, or a transaction. Each raises TikvFailed."""

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that exist."""

    def scan(self, start: bytes, end: bytes, limit: int = 0, largest: int = LARGEST_PAGE) -> AsyncIterator[list[Pair]]:
        """Yield the pairs of a range in key order, in pages of up to `largest`; up to `limit` in all when that is not
        0.
        """

    async def keys(self, start: bytes, end: bytes, limit: int = 0) -> list[bytes]:
        """Return the keys of a range in order, up to `limit` when that is not 0."""

    def key_pages(self, start: bytes, end: bytes) -> AsyncIterator[list[bytes]]:
        """Yield the keys of a range in order, in pages of varying size."""

    async def count(self, start: bytes, end: bytes) -> int:
        """Return the number of keys in a range."""


class _Reads:
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
            return await self._get(keys, error.fitting(len(keys)))
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
        deadline = time() + PATIENCE
        while True:
            begun = time()
            try:
                async with asyncio.timeout(LOCK_SECONDS if kind == "lock" else ANSWER_SECONDS):
                    return await getattr(self._inner, method)(*args)
            except Exception as error:
                failed = translate(error, self._where)
                self._traffic.failures[failed.failure] += 1
                lasting = failed.failure in (Failure.REPLY_TOO_LARGE, Failure.TOO_LARGE)
                if lasting or time() > deadline:
                    raise failed from error
            finally:
                self._traffic.took(kind, time() - begun)
            await asyncio.sleep(PAUSE)
            await self._recover(failed)

    async def _recover(self, failed: TikvFailed) -> None:
        """Prepare to repeat a read that failed; subclasses reconnect here."""

    async def scan(
        self, start: bytes, end: bytes, limit: int = 0, largest: int = LARGEST_PAGE
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
                page = error.fitting(size)
                continue
            traffic.keys["scan"] += len(pairs)
            traffic.scanned.learn([value for _, value in pairs])
            if pairs:
                yield pairs
            left -= len(pairs)
            if len(pairs) < size or (limit and left <= 0):
                return
            start = pairs[-1][0] + b"\0"
            weight = sum(len(key) + len(value) for key, value in pairs) // len(pairs)
            page = min(largest, page * GROWTH, max(1, PAGE_BYTES // weight))

    async def keys(self, start: bytes, end: bytes, limit: int = 0) -> list[bytes]:
        """See `Reader`."""
        found: list[bytes] = []
        async for page in self.key_pages(start, end):
            found += page
            if limit and len(found) >= limit:
                return found[:limit]
        return found

    async def count(self, start: bytes, end: bytes) -> int:
        """See `Reader`."""
        return sum([len(page) async for page in self.key_pages(start, end)])

    async def key_pages(self, start: bytes, end: bytes) -> AsyncIterator[list[bytes]]:
        """See `Reader`."""
        # Some servers send the values all the same, so a page of keys can be too large.
        size, growth = FIRST_KEY_PAGE, 4
        while start < end:
            try:
                page: list[bytes] = await self._read("scan_keys", "scan_keys", start, end, size)
            except TikvFailed as error:
                if error.failure is not Failure.REPLY_TOO_LARGE or size == 1:
                    raise
                size, growth = error.fitting(size), 2
                continue
            self._traffic.keys["scan_keys"] += len(page)
            yield page
            if len(page) < size:
                return
            start = page[-1] + b"\0"
            size = min(LARGEST_KEY_PAGE, size * growth, PAGE_BYTES // (sum(map(len, page)) // len(page)))


class Snapshot(_Reads):
    """Reads at one timestamp, over one connection and, when that is lost, over the next."""

    def __init__(self, client: "Client", connection: Any, timestamp: int, traffic: Traffic) -> None:  # noqa: ANN401
        super().__init__(connection.snapshot(timestamp, False), traffic, client.where)
        self._client = client
        self._connection = connection
        self._timestamp = timestamp
        self._until = asyncio.get_running_loop().time() + LONGEST_READ_SECONDS

    async def _read(self, kind: str, method: str, *args: object) -> Any:  # noqa: ANN401 - as the package
        found = await super()._read(kind, method, *args)
        if asyncio.get_running_loop().time() > self._until:
            long = f"a read took longer than {LONGEST_READ_SECONDS:g} s, and what it needs may be gone"
            raise TikvFailed(Failure.UNDETERMINED, long, self._where)
        return found

    async def _recover(self, failed: TikvFailed) -> None:
        if failed.failure is not Failure.LOCKED:
            self._client.drop(self._connection)
            with suppress(TikvUnavailable):
                self._connection = await self._client.connection()
                self._inner = self._connection.snapshot(self._timestamp, False)


class Transaction(_Reads):
    """Reads at the timestamp of its beginning, and writes that happen together or not at all.

    It belongs to one connection, and fails with it.
    """

    def __init__(self, client: "Client", connection: object, begun: Any, traffic: Traffic) -> None:  # noqa: ANN401
        super().__init__(begun, traffic, client.where)
        self._client = client
        self._connection = connection

    async def _recover(self, failed: TikvFailed) -> None:
        if failed.failure is not Failure.LOCKED:
            self._client.drop(self._connection)
            raise failed

    async def get_locked(self, key: bytes) -> bytes | None:
        """Return the newest value of a key, and lock it: no other transaction writes it until this one ends.

        Only a transaction that was begun with `locking` can do so.

        Raises:
            TikvFailed: TiKV does not answer, or the lock is not free in time.
        """
        value: bytes | None = await self._read("lock", "get_for_update", key)
        return value

    async def commit(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Write values, and delete the keys whose value is None; on return TiKV says that they are durable.

        Once begun it runs to its end, also when the caller is cancelled.

        Raises:
            TikvFailed: when its failure is one of NOT_WRITTEN nothing was written; otherwise the writes may have
                happened or, for as long as the locks last, may still happen.
        """
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

    def _committed(self, begun: float, task: "asyncio.Task[None]") -> None:
        self._traffic.took("commit", asyncio.get_running_loop().time() - begun)
        if not task.cancelled() and isinstance(error := task.exception(), TikvFailed):
            self._traffic.failures[error.failure] += 1

    def abandon(self) -> None:
        """Drop the connection, which does not answer, so that other calls make a new one. A commit under way stays
        under way.
        """
        self._client.drop(self._connection)

    async def rollback(self) -> None:
        """Roll back a transaction that is not to be committed; does nothing after `commit`."""
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


class Client:
    """A connection to a TiKV cluster, made with the first use and again after it is lost."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        """Create a client with the addresses of the Placement Driver, each "host:port". Connects with the first use."""
        self._endpoints = list(endpoints)
        self.where = ",".join(endpoints)
        self._inner: Any = None
        self._connecting = asyncio.Lock()
        self.traffic = Traffic()

    async def timestamp(self) -> int:
        """Return a timestamp of the cluster's oracle: reads at it see every commit that was answered before this call.

        Its upper bits are milliseconds, the lowest 18 bits a counter.

        Raises:
            TikvFailed: the Placement Driver does not answer.
        """
        return int(await self._connected("timestamp", lambda inner: inner.current_timestamp()))

    async def snapshot(self, timestamp: int) -> Snapshot:
        """Return a reader of the state at a timestamp that the oracle gave.

        Raises:
            TikvUnavailable: no connection can be made.
        """
        return Snapshot(self, await self.connection(), timestamp, self.traffic)

    async def begin(self, *, locking: bool = False) -> Transaction:
        """Begin a transaction that fails when another one has written since a key that it writes.

        Args:
            locking: begin a pessimistic transaction, for `Transaction.get_locked`.

        Raises:
            TikvFailed: TiKV does not answer.
        """

        async def begin(connection: Any) -> Transaction:  # noqa: ANN401 - the package has no types
            begun = await connection.begin(pessimistic=locking)
            return Transaction(self, connection, begun, self.traffic)

        return await self._connected("begin", begin)

    async def collect(self, timestamp: int) -> None:
        """Run TiKV's garbage collection up to a timestamp.

        Locks older than the timestamp are ended, and it becomes the safe point: values that were replaced or removed
        before it may be dropped.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        await self._connected("collect", lambda connection: connection.inner.gc(timestamp))

    async def ask_driver(self, method: str, request: bytes, address: str = "") -> bytes:
        """Call a method of the Placement Driver that the package does not offer, and return the marshalled answer.

        Args:
            method: the name of a method of the service pdpb.PD.
            request: the marshalled request.
            address: the driver to ask; any that answers when it is empty.

        Raises:
            TikvUnavailable: no driver answers.
        """
        import grpc.aio  # noqa: PLC0415 - takes a tenth of a second, and is seldom asked for

        failed: Exception | None = None
        for endpoint in [address] if address else self._endpoints:
            try:
                async with grpc.aio.insecure_channel(endpoint) as channel:
                    call = channel.unary_unary(f"/pdpb.PD/{method}", None, None)
                    return bytes(await call(request, timeout=ANSWER_SECONDS))
            except grpc.RpcError as error:
                failed = error
        raise TikvUnavailable(Failure.UNAVAILABLE, "its Placement Driver does not answer", self.where) from failed

    async def close(self) -> None:
        """Drop the connection, and give the package's tasks SETTLE_DOWN seconds to end."""
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
                    async with asyncio.timeout(ANSWER_SECONDS):
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
        deadline = time() + PATIENCE
        while True:
            begun = time()
            inner: Any = None
            try:
                inner = await self.connection()
                async with asyncio.timeout(ANSWER_SECONDS):
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
            await asyncio.sleep(PAUSE)
