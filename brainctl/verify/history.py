"""The revisions that two stores still have, compared one by one, and a store compared with its own log.

Both sides are read as a watch from the oldest revision on delivers them. Revisions before that are compacted on one
side: what is left of them is the state at the oldest revision, which is compared as keys are.
"""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from itertools import groupby
from typing import NamedTuple, cast

from brainctl.errors import COMPACTED, ApiError, ConnectionFailed, InvalidInput
from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.auth import AuthReader
from brainctl.stores.store import Store
from brainctl.stores.watching import oldest_revision
from brainctl.verify.diff import Page
from brainctl.verify.difference import FIELDS, ChangeDifference, Problem
from brainctl.verify.range_hashes import Leaves, leaves_in
from brainctl.verify.reading import StoreReader
from brainctl.verify.scope import Scope
from brainctl.verify.side import Side, SideKind

ASK_SECONDS = 0.5
"""The pause between two requests for the progress of a watch."""


class Revision(NamedTuple):
    """A revision that changed something in the scope."""

    number: int
    events: list[kvpb.Event]


async def first_revision(*stores: Store) -> int:
    """Return the oldest revision that all stores can be read at."""
    return max(await asyncio.gather(*map(oldest_revision, stores)))


def store_of(side: Side) -> Store:
    """Return the store that a side reads.

    Raises:
        InvalidInput: It is a list of keys, which has no history.
    """
    if not isinstance(side, StoreReader):
        raise InvalidInput("a list of keys has no history")
    return side.store


async def revisions(store: Store, first: int, last: int, scope: Scope) -> AsyncIterator[Revision]:
    """Yield the revisions from `first` to `last` with their changes in the scope.

    Raises:
        ApiError: `first` is compacted.
        ConnectionFailed: The store ended the watch.
    """
    if first > last:
        return
    inside = _inside(scope)
    held: list[kvpb.Event] = []
    responses = cast("AsyncGenerator[pb.WatchResponse]", store.watch(_requests(first)))
    async with aclosing(responses):
        async for response in responses:
            if response.compact_revision:
                raise ApiError(COMPACTED)
            if response.canceled:
                raise ConnectionFailed(
                    f"{store.url}: the watch from revision {first} has ended: {response.cancel_reason}"
                )
            events = [*held, *response.events]
            held = []
            if response.fragment and events:
                open_ = events[-1].kv.mod_revision
                held = [event for event in events if event.kv.mod_revision == open_]
                events = events[: len(events) - len(held)]
            for number, group in groupby(events, key=lambda event: event.kv.mod_revision):
                if number > last:
                    return
                if changes := [event for event in group if inside(event.kv.key)]:
                    yield Revision(number, changes)
            reached = events[-1].kv.mod_revision if events else response.header.revision
            if reached >= last and not held and (events or not response.created):
                return


async def _requests(first: int) -> AsyncIterator[pb.WatchRequest]:
    """Yield the request that creates the watch, then requests for its progress: the last revisions may be empty."""
    yield pb.WatchRequest(
        create_request=pb.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=first, fragment=True)
    )
    while True:
        await asyncio.sleep(ASK_SECONDS)
        yield pb.WatchRequest(progress_request=pb.WatchProgressRequest())


def _inside(scope: Scope) -> Callable[[bytes], bool]:
    """Return what tells whether a key is in the scope."""
    return lambda key: key.startswith(scope.prefix) and not (scope.exclude and key.startswith(scope.exclude))


async def differences(
    expected: Store, found: Store, first: int, last: int, scope: Scope, seen: Callable[[int], None]
) -> AsyncIterator[list[ChangeDifference]]:
    """Yield how the revisions from `first` to `last` differ; `seen` receives each revision that was compared."""
    async with (
        aclosing(cast("AsyncGenerator[Revision]", revisions(expected, first, last, scope))) as left,
        aclosing(cast("AsyncGenerator[Revision]", revisions(found, first, last, scope))) as right,
    ):
        one, other = await asyncio.gather(anext(left, None), anext(right, None))
        while one is not None or other is not None:
            number = min(revision.number for revision in (one, other) if revision is not None)
            mine = one.events if one is not None and one.number == number else []
            theirs = other.events if other is not None and other.number == number else []
            if different := list(_changes(number, mine, theirs)):
                yield different
            seen(number)
            if mine:
                one = await anext(left, None)
            if theirs:
                other = await anext(right, None)


def _changes(number: int, expected: list[kvpb.Event], found: list[kvpb.Event]) -> list[ChangeDifference]:
    """Return how the changes of one revision differ."""
    if expected == found:
        return []
    mine, theirs = ({event.kv.key: event for event in events} for events in (expected, found))
    different: list[ChangeDifference] = []
    for key in sorted(mine.keys() | theirs.keys()):
        if key not in theirs:
            different.append(ChangeDifference(number, key, Problem.MISSING))
        elif key not in mine:
            different.append(ChangeDifference(number, key, Problem.EXTRA))
        elif fields := _fields(mine[key], theirs[key]):
            different.append(ChangeDifference(number, key, Problem.DIFFERENT, fields))
    return different or [ChangeDifference(number, expected[0].kv.key, Problem.DIFFERENT, ("order",))]


def _fields(one: kvpb.Event, other: kvpb.Event) -> tuple[str, ...]:
    """Return the names of the fields in which two changes of a key differ."""
    fields = tuple(name for name in FIELDS if getattr(one.kv, name) != getattr(other.kv, name))
    return fields if one.type == other.type else ("type", *fields)


class Replayed:
    """A store as its log says that it is: its state at the oldest revision, and every change since."""

    def __init__(self, reader: StoreReader, oldest: int) -> None:
        self.kind = SideKind(stands=True)
        self._reader = reader
        self._oldest = oldest
        self._upto = oldest
        self._changed: dict[bytes, bytes] = {}
        """The newest KeyValue of each key that changed since; empty when it was deleted."""
        self._keys: list[bytes] = []

    @property
    def read_bytes(self) -> int:
        """See `Side.read_bytes`."""
        return self._reader.read_bytes

    async def revision(self) -> int:
        """See `Side.revision`: the one up to which the log was replayed."""
        return self._upto

    async def replay(self) -> None:
        """Read the log up to the newest revision."""
        self._upto = await self._reader.revision()
        async for revision in revisions(self._reader.store, self._oldest + 1, self._upto, Scope()):
            for event in revision.events:
                is_put = event.type == kvpb.Event.PUT
                self._changed[event.kv.key] = event.kv.SerializeToString() if is_put else b""
        self._keys = sorted(self._changed)

    async def page(self, start: bytes, end: bytes, revision: int) -> Page:
        """See `Side.page`."""
        del revision
        page = await self._reader.page(start, end, self._oldest)
        upto = bisect_left(self._keys, page.next) if page.next else len(self._keys)
        changed = {key: self._changed[key] for key in self._keys[bisect_left(self._keys, start) : upto]}
        merged = dict(zip(page.keys, page.kvs, strict=True)) | changed
        keys = sorted(key for key, kv in merged.items() if kv)
        return Page(keys, [merged[key] for key in keys], page.next)

    async def leaves(self, start: bytes, end: bytes, revision: int) -> Leaves:
        """See `Side.leaves`."""
        return leaves_in(await self.page(start, end, revision))

    async def key(self, key: bytes, revision: int) -> bytes | None:
        """See `Side.key`."""
        page = await self.page(key, key + b"\0", revision)
        return page.kvs[0] if page.kvs else None

    async def leases(self) -> dict[int, int]:
        """See `Side.leases`: the log has none, those of the store count."""
        return await self._reader.leases()

    async def hashes(self) -> None:
        """See `Side.hashes`: a state that was never stored has none."""

    def accounts(self) -> AuthReader | None:
        """See `Side.accounts`: the log has none."""
        return None

    async def close(self) -> None:
        """See `Side.close`."""
        await self._reader.close()


async def replayed(side: Side) -> Replayed:
    """Return a store as a replay of its own log gives it.

    Raises:
        InvalidInput: The side is a list of keys.
    """
    store = store_of(side)
    found = Replayed(StoreReader(store), await first_revision(store))
    await found.replay()
    return found
