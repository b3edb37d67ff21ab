"""What both clients do on a real Placement Driver and unistore."""

import asyncio
import random

import pytest

from brainctl.tikv.client import Client, Reader
from brainctl.tikv.errors import NOT_WRITTEN, Failure, TikvFailed
from tests.peers.servers import Playground
from tests.unit.tikv.client.conftest import OpenClient

FIRST = (b"a", b"m", b"n", b"t", b"u", b"z")
"""Beginnings of keys in all of the regions that the playground starts with."""


def run(work: object) -> None:
    asyncio.run(asyncio.wait_for(work, 240))  # type: ignore[arg-type]


async def write(client: Client, writes: dict[bytes, bytes | None]) -> int:
    transaction = await client.begin()
    return await transaction.commit(writes)


async def now(client: Client) -> Reader:
    return await client.snapshot(await client.timestamp())


async def scanned(reader: Reader, start: bytes, end: bytes, limit: int = 0, largest: int = 512) -> list[object]:
    return [pair async for page in reader.scan(start, end, limit, largest) for pair in page]


def test_timestamps_grow(tikv: Playground, client_of: OpenClient) -> None:
    async def work() -> None:
        async with client_of(tikv) as client:
            before = await client.timestamp()
            among = await asyncio.gather(*(client.timestamp() for _ in range(200)))
            assert len(set(among)) == 200
            assert before < min(among)
            assert max(among) < await client.timestamp()

    run(work())


def test_what_was_committed_is_read_in_all_regions(tikv: Playground, prefix: str, client_of: OpenClient) -> None:
    async def work() -> None:
        rng = random.Random(prefix)
        name = b"/" + prefix.encode() + b"/"
        wanted = {
            first + name + b"%04d" % n: rng.randbytes(rng.randrange(1, 300)) for first in FIRST for n in range(90)
        }
        async with client_of(tikv) as client:
            begun = await client.timestamp()
            committed = await write(client, dict(wanted))
            assert committed == 0 or begun < committed <= await client.timestamp()
            reader = await now(client)
            assert await reader.get(list(wanted)) == wanted
            assert await reader.get([next(iter(wanted)), b"a" + name]) == dict([next(iter(wanted.items()))])
            assert await reader.get([b"a" + name]) == {}
            everything = [pair for pair in await scanned(reader, b"a", b"zz") if name in pair[0]]
            assert everything == sorted(wanted.items())
            part = await scanned(reader, b"n" + name, b"n" + name + b"\xff", limit=17)
            assert part == sorted(pair for pair in wanted.items() if pair[0].startswith(b"n" + name))[:17]
            assert await scanned(reader, b"m" + name, b"m" + name + b"\xff", largest=7) == sorted(
                pair for pair in wanted.items() if pair[0].startswith(b"m" + name)
            )
            assert [key for key in await reader.keys(b"a", b"zz") if name in key] == sorted(wanted)
            assert (
                await reader.keys(b"t" + name, b"t" + name + b"\xff", 5)
                == sorted(key for key in wanted if key.startswith(b"t"))[:5]
            )
            assert await reader.count(b"u" + name, b"u" + name + b"\xff") == 90
            assert await scanned(reader, b"b", b"b") == []
            assert await scanned(reader, b"c", b"b") == []
            await write(client, dict.fromkeys(wanted))
            assert await (await now(client)).get(list(wanted)) == {}
            # What was read at an earlier timestamp stays as it was then.
            assert await reader.get(list(wanted)) == wanted

    run(work())


def test_one_of_two_that_write_a_key_fails(tikv: Playground, prefix: str, client_of: OpenClient) -> None:
    async def work() -> None:
        key, other = prefix.encode() + b"/k", prefix.encode() + b"/other"
        async with client_of(tikv) as client:
            one, two = await client.begin(), await client.begin()
            assert await two.get([key]) == {}
            await one.commit({key: b"1"})
            assert await two.get([key]) == {}
            with pytest.raises(TikvFailed) as refused:
                await two.commit({key: b"2", other: b"2"})
            assert refused.value.failure is Failure.CONFLICT
            await two.rollback()
            assert await (await now(client)).get([key, other]) == {key: b"1"}

    run(work())


def test_a_locked_key_is_written_by_nobody_else(tikv: Playground, prefix: str, client_of: OpenClient) -> None:
    async def work() -> None:
        key, new = prefix.encode() + b"/k", prefix.encode() + b"/new"
        async with client_of(tikv) as client:
            holder = await client.begin(locking=True)
            await write(client, {key: b"1"})
            assert await holder.get_locked(key) == b"1"
            assert await holder.get_locked(new) is None
            optimist = await client.begin()
            late = asyncio.ensure_future(optimist.commit({key: b"late"}))
            assert await (await now(client)).get([key]) == {key: b"1"}
            await holder.commit({key: b"2", new: b"2"})
            with pytest.raises(TikvFailed) as refused:
                await late
            assert refused.value.failure in NOT_WRITTEN
            await optimist.rollback()
            assert await (await now(client)).get([key, new]) == {key: b"2", new: b"2"}

    run(work())


def test_lockers_take_turns(tikv: Playground, prefix: str, client_of: OpenClient) -> None:
    """Each adds one to the newest value; the control is a locked read that another one could overtake."""

    async def work() -> None:
        key = prefix.encode() + b"/count"
        async with client_of(tikv) as client:

            async def add() -> None:
                transaction = await client.begin(locking=True)
                try:
                    value = int(await transaction.get_locked(key) or b"0")
                    await transaction.commit({key: b"%d" % (value + 1)})
                except TikvFailed as error:
                    # The package does not look again at a key that was written while it waited.
                    refused.append(error.failure)
                    await transaction.rollback()
                    await add()

            refused: list[Failure] = []
            await asyncio.gather(*(add() for _ in range(8)))
            assert set(refused) <= NOT_WRITTEN
            assert await (await now(client)).get([key]) == {key: b"8"}

    run(work())


def test_what_is_rolled_back_leaves_nothing(tikv: Playground, prefix: str, client_of: OpenClient) -> None:
    async def work() -> None:
        key = prefix.encode() + b"/k"
        async with client_of(tikv) as client:
            holder = await client.begin(locking=True)
            assert await holder.get_locked(key) is None
            await holder.rollback()
            await holder.rollback()
            await (await client.begin()).rollback()
            await write(client, {key: b"1"})
            assert await (await now(client)).get([key]) == {key: b"1"}

    run(work())


def test_large_values_are_read_whatever_a_page_weighs(tikv: Playground, prefix: str, client_of: OpenClient) -> None:
    async def work() -> None:
        rng = random.Random(5)
        root = prefix.encode() + b"/"
        wanted = {root + b"%02d" % number: rng.randbytes(1_100_000) for number in range(9)}
        async with client_of(tikv) as client:
            for key, value in wanted.items():
                await write(client, {key: value})
            reader = await now(client)
            assert await scanned(reader, root, root + b"\xff") == list(wanted.items())
            assert await reader.get(list(wanted)) == wanted
            assert await reader.count(root, root + b"\xff") == 9

    run(work())


def test_what_is_too_large_is_refused(tikv: Playground, prefix: str, client_of: OpenClient) -> None:
    async def work() -> None:
        key = prefix.encode() + b"/k"
        async with client_of(tikv) as client:
            for writes in ({key: bytes(9 << 20)}, {key + bytes(20_000): b"v"}):
                with pytest.raises(TikvFailed) as refused:
                    await write(client, writes)
                assert refused.value.failure is Failure.TOO_LARGE
            await write(client, {key: b"1"})

    run(work())


def test_a_large_transaction_over_regions_happens_whole(tikv: Playground, prefix: str, client_of: OpenClient) -> None:
    async def work() -> None:
        name = b"/" + prefix.encode() + b"/"
        keys = [first + name + b"%05d" % number for first in FIRST for number in range(600)]
        async with client_of(tikv) as client:
            await write(client, dict.fromkeys(keys, bytes(1000)))
            for value in (b"1" * 1000, b"2" * 1000):
                commit = asyncio.ensure_future(write(client, dict.fromkeys(keys, value)))
                seen: set[int] = set()
                while not commit.done():
                    found = await (await now(client)).get(keys[::97])
                    assert len(set(found.values())) == 1
                    seen.add(len(found))
                await commit
                assert seen <= {len(keys[::97])}
                assert set((await (await now(client)).get(keys)).values()) == {value}

    run(work())
