"""Random transactions, conflicts, locks and scans, in the same order through both clients: every outcome compared.

More examples: BRAINCTL_TIKV_EXAMPLES.
"""

import asyncio
import os
from collections.abc import Mapping
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainctl.tikv.client import Client, ClientKind, Transaction, open_client
from brainctl.tikv.client.transactions import OwnTransaction
from brainctl.tikv.errors import TikvFailed
from tests.peers.servers import Playground

EXAMPLES = int(os.environ.get("BRAINCTL_TIKV_EXAMPLES", "12"))
KEYS = (b"a", b"m", b"ma", b"n", b"ta", b"u", b"z")
"""Keys in several regions of the playground."""
SLOTS = 3
"""Transactions that are open at a time."""

_runs = count()
keys = st.sampled_from(KEYS)
writes = st.dictionaries(keys, st.one_of(st.none(), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4)
slots = st.integers(0, SLOTS - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), slots),
        st.tuples(st.just("begin_locking"), slots),
        st.tuples(st.just("get"), slots, st.lists(keys, max_size=3, unique=True)),
        st.tuples(st.just("lock"), slots, keys),
        st.tuples(st.just("commit"), slots, writes),
        st.tuples(st.just("rollback"), slots),
        st.tuples(st.just("scan"), keys, keys, st.integers(0, 3)),
        st.tuples(st.just("read"), st.lists(keys, max_size=4, unique=True)),
    ),
    max_size=25,
)
Step = tuple[object, ...]


class Performer:
    """Performs steps with one client, under names of its own."""

    def __init__(self, client: Client, name: bytes) -> None:
        self._client = client
        self._name = name
        self._open: dict[object, Transaction] = {}
        self._locking: dict[object, bool] = {}
        self._locks: dict[bytes, object] = {}

    def blocked(self, step: Step) -> bool:
        """Whether another transaction holds a lock that the step would wait for."""
        match step:
            case ("lock", slot, key):
                wanted = {key}
            case ("commit", slot, changes):
                assert isinstance(changes, dict)
                wanted = set(changes)
            case _:
                return False
        return any(self._locks.get(key, slot) != slot for key in wanted)

    async def perform(self, step: Step) -> object:
        """The outcome, in terms that do not name the client."""
        try:
            return await self._perform(step)
        except TikvFailed as error:
            if step[0] in ("commit", "lock"):
                await self._end(step[1])
            return error.failure

    async def close(self) -> None:
        for slot in list(self._open):
            await self._end(slot)

    async def _perform(self, step: Step) -> object:
        match step:
            case ("begin" | "begin_locking", slot):
                await self._end(slot)
                self._locking[slot] = step[0] == "begin_locking"
                self._open[slot] = await self._client.begin(locking=self._locking[slot])
            case ("rollback", slot):
                await self._end(slot)
            case ("get", slot, wanted) if slot in self._open and not self._locking[slot]:
                return self._plain(await self._open[slot].get(self._named(wanted)))
            case ("lock", slot, key) if slot in self._open and self._locking[slot]:
                value = await self._open[slot].get_locked(key + self._name)
                self._locks[key] = slot
                return value
            case ("commit", slot, changes) if slot in self._open:
                transaction = self._open.pop(slot)
                try:
                    await transaction.commit({key + self._name: value for key, value in changes.items()})
                finally:
                    self._release(slot)
            case ("scan", start, end, limit):
                reader = await self._client.snapshot(await self._client.timestamp())
                found = [pair async for page in reader.scan(start, end + b"\xff", largest=2) for pair in page]
                mine = self._plain({key: value for key, value in found if key.endswith(self._name)})
                return list(mine.items())[: limit or None]
            case ("read", wanted):
                reader = await self._client.snapshot(await self._client.timestamp())
                return self._plain(await reader.get(self._named(wanted)))
        return None

    async def _end(self, slot: object) -> None:
        if (transaction := self._open.pop(slot, None)) is not None:
            await transaction.rollback()
        self._release(slot)

    def _release(self, slot: object) -> None:
        self._locks = {key: holder for key, holder in self._locks.items() if holder != slot}

    def _named(self, wanted: list[bytes]) -> list[bytes]:
        return [key + self._name for key in wanted]

    def _plain(self, found: dict[bytes, bytes]) -> dict[bytes, bytes]:
        return {key.removesuffix(self._name): value for key, value in sorted(found.items())}


async def compare(tikv: Playground, planned: list[Step]) -> None:
    """Perform the steps with both clients; fails where their outcomes differ."""
    number = next(_runs)
    clients = {kind: open_client([tikv.endpoint], kind=kind) for kind in ClientKind}
    performers = [Performer(client, b"/%d/%b" % (number, kind.value.encode())) for kind, client in clients.items()]
    try:
        for step in planned:
            if not performers[0].blocked(step):
                outcomes = [await performer.perform(step) for performer in performers]
                assert outcomes[0] == outcomes[1], step
    finally:
        for performer in performers:
            await performer.close()
        for client in clients.values():
            await client.close()


def test_both_clients_do_the_same(tikv: Playground) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(steps)
    def check(planned: list[Step]) -> None:
        asyncio.run(asyncio.wait_for(compare(tikv, planned), 120))

    check()


def test_the_control_a_lost_write_is_noticed(tikv: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lose(transaction: OwnTransaction, writes: Mapping[bytes, bytes | None]) -> int:
        return await commit(transaction, dict(list(writes.items())[1:]))

    commit = OwnTransaction.commit
    monkeypatch.setattr(OwnTransaction, "commit", lose)
    planned: list[Step] = [("begin", 0), ("commit", 0, {b"a": b"1", b"z": b"2"}), ("read", [b"a", b"z"])]
    with pytest.raises(AssertionError):
        asyncio.run(asyncio.wait_for(compare(tikv, planned), 120))
