"""TiKV's garbage collection is moved on after compactions, and by nobody who must not; on a real Placement Driver."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from brainctl.errors import ExitCode
from brainctl.tikv import safepoint
from brainctl.tikv.client import Client
from brainctl.tikv.errors import TikvFailed
from brainctl.tikv.medium import Role, TikvMedium, open_medium
from brainctl.tikv.safepoint import register
from tests.peers.servers import Playground, clean_environment
from tests.tikv.calls import compact, put, read


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    """One of its own: the safe point is the whole cluster's."""
    with Playground(tmp_path_factory.mktemp("gc")) as running:
        yield running


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safepoint, "LIFE_SECONDS", 0.0)
    monkeypatch.setattr(safepoint, "PAUSE_SECONDS", 0.02)


async def safe_point(medium: TikvMedium) -> int:
    """Where the Placement Driver says that it is."""
    client = medium._client
    members = dict(safepoint._fields(await client.ask_driver("GetMembers", b"\x0a\x00")))
    header = members[1]
    request = b"\x0a" + bytes((len(header),)) + header
    answer = dict(safepoint._fields(await client.ask_driver("GetGCSafePoint", request)))
    return int(answer.get(2, 0))


async def compacted(medium: TikvMedium) -> int:
    """Make garbage, and compact it; a timestamp after that."""
    for _ in range(3):
        revision = await put(medium, b"k")
    await compact(medium, revision)
    await medium.defragment()
    return await medium._client.timestamp()


def test_it_passes_what_was_compacted(cluster: Playground) -> None:
    async def run() -> None:
        medium = await open_medium([cluster.endpoint], "one", Role.LEADER, collects=True)
        before = await safe_point(medium)
        garbage = await medium._client.timestamp()
        await compacted(medium)
        while await safe_point(medium) <= garbage:  # noqa: ASYNC110 - the Placement Driver tells nobody
            await asyncio.sleep(0.02)
        assert await safe_point(medium) > before
        assert (await read(medium, b"k")).kvs
        await medium.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_what_another_service_needs_is_kept(cluster: Playground) -> None:
    async def run() -> None:
        medium = await open_medium([cluster.endpoint], "two", Role.LEADER)
        held = await medium._client.timestamp()
        await register(medium._client, b"backup", held, 3600)
        medium.safe_point = safepoint.SafePoint(medium._client)
        await compacted(medium)
        assert await medium.safe_point.step() == held == await safe_point(medium)
        assert medium.safe_point._garbage
        await register(medium._client, b"backup", held, -1)
        assert await medium.safe_point.step() > held
        assert not medium.safe_point._garbage
        await medium.close()

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.parametrize("reason", ["off", "tidb"])
def test_others_are_left_to_do_it(cluster: Playground, reason: str) -> None:
    async def run() -> None:
        other = Client([cluster.endpoint])
        if reason == "tidb":
            await (await other.begin()).commit({safepoint._TIDB + b"s": b"1"})
        medium = await open_medium([cluster.endpoint], reason, Role.LEADER, collects=reason == "tidb")
        before = await safe_point(medium)
        await compacted(medium)
        if medium.safe_point is not None:
            assert await medium.safe_point.step() == 0
        assert await safe_point(medium) == before
        await medium.close()
        await (await other.begin()).commit({safepoint._TIDB + b"s": None})
        await other.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_a_read_never_goes_on_beyond_what_is_kept(cluster: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    """TiKV answers it all the same, without what it has dropped."""

    async def run() -> None:
        client = Client([cluster.endpoint])
        monkeypatch.setattr("brainctl.tikv.client.LONGEST_READ_SECONDS", -1.0)
        old = await client.snapshot(await client.timestamp())
        with pytest.raises(TikvFailed, match="a read took longer than"):
            await old.get([b"k"])
        await client.close()

    asyncio.run(run())


def test_an_unknown_choice_is_refused_before_anything_is_opened() -> None:
    command = ["serve", "--store", "tikv://127.0.0.1:1/none", "--listen", "127.0.0.1:0", "--tikv-gc", "sometimes"]
    done = subprocess.run(
        [sys.executable, "-m", "brainctl", *command],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == ExitCode.BAD_ARGS
    assert "--tikv-gc: auto or off, not 'sometimes'" in done.stderr
