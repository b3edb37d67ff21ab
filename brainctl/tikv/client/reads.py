"""Read at one timestamp: values by their keys, ranges in pages, through whatever locks are in the way."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from brainctl.tikv.client import limits
from brainctl.tikv.client.attempts import Attempts, Failures
from brainctl.tikv.client.key_errors import LOCKED
from brainctl.tikv.client.locks import Locks, refused
from brainctl.tikv.client.methods import BATCH_GET, GET, SCAN
from brainctl.tikv.client.region_calls import RegionCalls, Regroup, gather_all
from brainctl.tikv.client.regions import Region
from brainctl.tikv.client.seam import Pair, Reader
from brainctl.tikv.client.timestamps import Timestamps
from brainctl.tikv.client.traffic import FIRST_PAGE, LARGEST_GET, fitting_page
from brainctl.tikv.errors import Failure
from brainctl.tikvpb import kvrpcpb_pb2 as kv


class Cluster(NamedTuple):
    """The parts of a client that its reads and transactions share."""

    calls: RegionCalls
    locks: Locks
    timestamps: Timestamps
    failures: Failures


class Reads(Reader):
    """Reads of the state at a timestamp."""

    def __init__(self, cluster: Cluster, version: int) -> None:
        self._cluster = cluster
        self._version = version
        self._passed: frozenset[int] = frozenset()
        self._time = asyncio.get_running_loop().time
        self._until = self._time() + limits.LONGEST_READ_SECONDS

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """See `Reader`."""
        traffic = self._cluster.failures.traffic
        found: dict[bytes, bytes] = {}
        size = traffic.got.fits(LARGEST_GET)
        with self.counted("get"):
            if len(keys) == 1:
                await self._get_one(keys[0], found)
            else:
                attempts = self._attempts()
                parts = [keys[at : at + size] for at in range(0, len(keys), size)]
                work = partial(self._get_in, found, attempts)
                await gather_all([self._cluster.calls.spread(part, work, attempts) for part in parts])
        traffic.got.learn(found.values())
        traffic.keys["get"] += len(found)
        return found

    async def _get_one(self, key: bytes, found: dict[bytes, bytes]) -> None:
        attempts = self._attempts()
        while True:
            request = kv.GetRequest(context=self._context(), key=key, version=self._version)
            answer = await self._cluster.calls.at_key(key, GET, request, attempts)
            if not answer.HasField("error"):
                if not answer.not_found:
                    found[key] = answer.value
                return
            await self._meet([answer.error], attempts)

    async def _get_in(
        self, found: dict[bytes, bytes], attempts: Attempts, region: Region, keys: Sequence[bytes]
    ) -> None:
        while keys:
            request = kv.BatchGetRequest(context=self._context(), keys=keys, version=self._version)
            answer = await self._cluster.calls.send(region, BATCH_GET, request, attempts)
            errors = [pair.error for pair in answer.pairs if pair.HasField("error")]
            found.update((pair.key, pair.value) for pair in answer.pairs if not pair.HasField("error"))
            locked = {error.locked.key for error in errors}
            if answer.HasField("error"):
                errors.append(answer.error)
            else:
                keys = [key for key in keys if key in locked]
            if errors:
                await self._meet(errors, attempts)

    async def scan(
        self, start: bytes, end: bytes, limit: int = 0, largest: int = limits.LARGEST_PAGE
    ) -> AsyncIterator[list[Pair]]:
        """See `Reader`."""
        traffic = self._cluster.failures.traffic
        left, page = limit, min(traffic.scanned.fits(FIRST_PAGE), largest)
        while start < end:
            size = min(page, left) if limit else page
            found, stop = await self._page("scan", start, end, size)
            pairs = [(pair.key, pair.value) for pair in found]
            traffic.scanned.learn([value for _, value in pairs])
            if pairs:
                yield pairs
                page = min(largest, page * limits.GROWTH, fitting_page(pairs))
            left -= len(pairs)
            if limit and left <= 0:
                return
            start = pairs[-1][0] + b"\0" if len(pairs) == size else stop

    async def key_pages(self, start: bytes, end: bytes) -> AsyncIterator[list[bytes]]:
        """See `Reader`."""
        size = limits.FIRST_KEY_PAGE
        while start < end:
            found, stop = await self._page("scan_keys", start, end, size)
            page = [pair.key for pair in found]
            if page:
                yield page
            start = page[-1] + b"\0" if len(page) == size else stop
            size = min(limits.LARGEST_KEY_PAGE, size * limits.GROWTH)

    async def _page(self, kind: str, start: bytes, end: bytes, size: int) -> tuple[Sequence[kv.KvPair], bytes]:
        """Return pairs from the beginning of a range, and up to where there are no others when they are fewer."""
        attempts, calls = self._attempts(), self._cluster.calls
        with self.counted(kind):
            while True:
                region = await calls.locate(start, attempts)
                stop = region.end if region.ends_before(end) else end
                request = kv.ScanRequest(
                    context=self._context(),
                    start_key=start,
                    end_key=stop,
                    limit=size,
                    version=self._version,
                    key_only=kind == "scan_keys",
                )
                try:
                    answer = await calls.send(region, SCAN, request, attempts)
                except Regroup:
                    continue
                errors = [pair.error for pair in answer.pairs if pair.HasField("error")]
                if answer.HasField("error"):
                    errors.append(answer.error)
                if not errors:
                    self._cluster.failures.traffic.keys[kind] += len(answer.pairs)
                    return answer.pairs, stop
                await self._meet(errors, attempts)

    async def _meet(self, errors: Iterable[kv.KeyError], attempts: Attempts) -> None:
        """Do something about the locks in the way of a read, and wait for those that are still held.

        Raises:
            TikvFailed: they are held for too long, or something else is wrong with the keys.
        """
        errors = list(errors)
        for error in errors:
            if not error.HasField("locked"):
                raise refused(error, attempts)
        resolved = await self._cluster.locks.resolve([error.locked for error in errors], self._version, attempts)
        self._passed |= resolved.passed
        if resolved.waiting:
            await attempts.pause(attempts.failures.of(Failure.LOCKED, LOCKED))

    def _context(self) -> kv.Context:
        return kv.Context(resolved_locks=self._passed)

    def _attempts(self) -> Attempts:
        """Begin a read.

        Raises:
            TikvFailed: the snapshot is so old that what it needs may be gone.
        """
        failures = self._cluster.failures
        if self._time() > self._until:
            long = f"a read took longer than {limits.LONGEST_READ_SECONDS:g} s, and what it needs may be gone"
            raise failures.of(Failure.UNDETERMINED, long)
        return Attempts(failures)

    @contextmanager
    def counted(self, kind: str) -> Iterator[None]:
        """Count a request of some kind, with the time that it takes."""
        begun = self._time()
        try:
            yield
        finally:
            self._cluster.failures.traffic.took(kind, self._time() - begun)
