"""TiKV's garbage collection is moved on after compactions, and by nobody who must not; on a real Placement Driver."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from brainctl.errors import ExitCode
from brainctl.tikv import safepoint
from brainctl.tikv.backend import TikvBackend, open_backend
from brainctl.tikv.client import open_client
from brainctl.tikv.errors import TikvFailed
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground, clean_environment
from tests.unit.tikv.calls import compact, put, read


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    """One of its own: the safe point is the whole cluster's."""
    with Playground(tmp_path_factory.mktemp("gc")) as running:
        yield running


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safepoint, "LIFE_SECONDS", 0.0)
    monkeypatch.setattr(safepoint, "PAUSE_SECONDS", 0.02)


async def compacted(backend: TikvBackend) -> int:
    """Make garbage, and compact it; a timestamp after that."""
    for _ in range(3):
        revision = await put(backend, b"k")
    await compact(backend, revision)
    await backend.defragment()
    return await backend._client.timestamp()


def test_it_passes_what_was_compacted(cluster: Playground) -> None:
    async def run() -> None:
        backend = await open_backend([cluster.endpoint], "one", Role.LEADER, collects=True)
        before = await backend._client.safe_point()
        garbage = await backend._client.timestamp()
        await compacted(backend)
        while await backend._client.safe_point() <= garbage:  # noqa: ASYNC110 - the Placement Driver tells nobody
            await asyncio.sleep(0.02)
        assert await backend._client.safe_point() > before
        assert (await read(backend, b"k")).kvs
        await backend.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_what_another_service_needs_is_kept(cluster: Playground) -> None:
    async def run() -> None:
        backend = await open_backend([cluster.endpoint], "two", Role.LEADER)
        held = await backend._client.timestamp()
        await backend._client.hold_safe_point(b"backup", held, 3600)
        backend.safe_point = safepoint.SafePoint(backend._client)
        await compacted(backend)
        assert await backend.safe_point.step() == held == await backend._client.safe_point()
        assert backend.safe_point._garbage
        await backend._client.hold_safe_point(b"backup", held, -1)
        assert await backend.safe_point.step() > held
        assert not backend.safe_point._garbage
        await backend.close()

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.parametrize("reason", ["off", "tidb"])
def test_others_are_left_to_do_it(cluster: Playground, reason: str) -> None:
    async def run() -> None:
        other = open_client([cluster.endpoint])
        if reason == "tidb":
            await (await other.begin()).commit({safepoint._TIDB + b"s": b"1"})
        backend = await open_backend([cluster.endpoint], reason, Role.LEADER, collects=reason == "tidb")
        before = await backend._client.safe_point()
        await compacted(backend)
        if backend.safe_point is not None:
            assert await backend.safe_point.step() == 0
        assert await backend._client.safe_point() == before
        await backend.close()
        await (await other.begin()).commit({safepoint._TIDB + b"s": None})
        await other.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_a_read_never_goes_on_beyond_what_is_kept(cluster: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    """TiKV answers it all the same, without what it has dropped."""

    async def run() -> None:
        client = open_client([cluster.endpoint])
        monkeypatch.setattr("brainctl.tikv.client.limits.LONGEST_READ_SECONDS", -1.0)
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
