"""Commits of which the answer is lost: settled by looking, and answered as unknown only while that is impossible."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from brainctl.errors import TIMEOUT, ApiError, UnknownOutcome
from brainctl.mvcc.commit import Commit
from brainctl.tikv.backend import TikvBackend, open_backend
from brainctl.tikv.errors import NOT_WRITTEN, Failure, TikvFailed
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.unit.tikv.calls import put, read, value
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.proxy import Proxied, Proxy, proxied

VALUE = b"the value by which the transaction is recognised"
ATTEMPTS = 3
"""Connections refused before the server can be reached again."""


@pytest.fixture(autouse=True)
def _silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sign of life of the leader comes between: the proxies below could take it for the commit."""
    monkeypatch.setattr("brainctl.tikv.succession.HEARTBEAT_SECONDS", 3600.0)


@asynccontextmanager
async def opened(tikv: Playground, prefix: str) -> AsyncIterator[tuple[TikvBackend, Proxied]]:
    async with proxied(tikv) as behind:
        backend = await open_backend([behind.endpoint], prefix, Role.LEADER)
        try:
            yield backend, behind
        finally:
            await asyncio.wait_for(backend.close(), 120)


def prewrite() -> Callable[[bytes], bool]:
    """Recognises the first phase: it carries the value."""
    return lambda data: VALUE in data


def second_phase(prefix: str) -> Callable[[bytes], bool]:
    """Recognises the second phase: the next request about keys of the store."""
    seen = False

    def when(data: bytes) -> bool:
        nonlocal seen
        if seen and prefix.encode() in data:
            return True
        seen = seen or VALUE in data
        return False

    return when


@pytest.fixture
def two_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each commit take two phases, also where one would do."""
    monkeypatch.setattr("brainctl.tikv.client.limits.ONE_PHASE_BYTES", 0)


async def interrupt(proxy: Proxy) -> None:
    """Cut the connection that has gone silent, and let the client reach the server again after some attempts."""
    await asyncio.wait_for(proxy.tripped.wait(), 120)
    proxy.cut()
    for _ in range(ATTEMPTS):
        await asyncio.wait_for(proxy.refused.acquire(), 120)
    proxy.release()


@pytest.mark.parametrize("forward", [True, False], ids=["written", "lost"])
@pytest.mark.parametrize("phase", ["prewrite", "commit"])
def test_a_cut_connection_is_settled(
    tikv: Playground,
    prefix: str,
    backend_of: OpenBackend,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    forward: bool,
) -> None:
    """Wherever the connection breaks, the put is answered as done, and was done exactly once."""
    if phase == "commit":
        monkeypatch.setattr("brainctl.tikv.client.limits.ONE_PHASE_BYTES", 0)

    async def run() -> None:
        async with opened(tikv, prefix) as (backend, behind):
            shown: list[Commit] = []
            backend.subscribe(shown.append)
            assert await put(backend, b"k", b"before") == 2
            behind.store.hold(prewrite() if phase == "prewrite" else second_phase(prefix), forward=forward)
            pending = asyncio.ensure_future(put(backend, b"k", VALUE))
            await interrupt(behind.store)
            assert await asyncio.wait_for(pending, 120) == 3
            assert await put(backend, b"k", b"after") == 4
            assert [commit.revision for commit in shown] == [2, 3, 4]
        async with backend_of(Role.FOLLOWER) as other:
            assert [kv.version for kv in (await read(other, b"k", revision=3)).kvs] == [2]
            assert (await read(other, b"k", revision=3)).kvs[0].value == VALUE

    asyncio.run(run())


@pytest.mark.parametrize("forward", [True, False], ids=["written", "lost"])
@pytest.mark.usefixtures("two_phases")
def test_what_cannot_be_settled_is_unknown_and_is_settled_later(tikv: Playground, prefix: str, forward: bool) -> None:
    async def run() -> None:
        async with opened(tikv, prefix) as (backend, behind):
            shown: list[Commit] = []
            backend.subscribe(shown.append)
            backend.writer.settle_seconds = 0.3
            behind.store.hold(second_phase(prefix), forward=forward)
            with pytest.raises(UnknownOutcome):
                await put(backend, b"k", VALUE)
            # On a slow machine the answer may come before the second phase has begun.
            await asyncio.wait_for(behind.store.tripped.wait(), 120)
            assert shown == []
            # Until it is settled nothing can be written, and that is certain.
            with pytest.raises(ApiError) as refused:
                await put(backend, b"other")
            assert refused.value.status == TIMEOUT
            backend.writer.settle_seconds = 30.0
            await interrupt(behind.store)
            async with backend.writer.busy:
                pass
            # What got lost on its way is sent again, as long as nobody has ended the transaction.
            happened = await value(backend, b"k") is not None
            assert happened or not forward
            assert [commit.changes[0].key for commit in shown] == ([b"k"] if happened else [])
            assert await value(backend, b"k") == (VALUE if happened else None)
            assert await put(backend, b"other") == (3 if happened else 2)

    asyncio.run(run())


@pytest.mark.parametrize("forward", [True, False], ids=["written", "lost"])
@pytest.mark.parametrize("phase", ["prewrite", "commit"])
def test_a_silent_connection_is_settled_over_another(
    tikv: Playground, prefix: str, monkeypatch: pytest.MonkeyPatch, phase: str, forward: bool
) -> None:
    """The commit never ends. What it wrote counts; what it did not write it never will, also when it comes to life."""
    monkeypatch.setattr("brainctl.tikv.leadership.COMMIT_SECONDS", 0.5)
    monkeypatch.setattr("brainctl.tikv.client.limits.ANSWER_SECONDS", 2.0)
    if phase == "commit":
        monkeypatch.setattr("brainctl.tikv.client.limits.ONE_PHASE_BYTES", 0)

    async def run() -> None:
        async with opened(tikv, prefix) as (backend, behind):
            backend.writer.settle_seconds = 60.0
            shown: list[Commit] = []
            backend.subscribe(shown.append)
            assert await put(backend, b"k", b"before") == 2
            behind.store.hold(prewrite() if phase == "prewrite" else second_phase(prefix), forward=forward)
            pending = asyncio.ensure_future(put(backend, b"k", VALUE))
            await asyncio.wait_for(behind.store.tripped.wait(), 120)
            behind.store.let_new_ones_through()
            assert await asyncio.wait_for(pending, 120) == 3
            behind.store.cut()
            behind.store.release()
            assert await put(backend, b"k", b"after") == 4
            assert [commit.revision for commit in shown] == [2, 3, 4]
            assert [kv.version for kv in (await read(backend, b"k", revision=3)).kvs] == [2]
            assert backend.leads

    asyncio.run(run())


@pytest.mark.usefixtures("two_phases")
def test_a_backend_can_be_closed_while_tikv_is_silent(
    tikv: Playground, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with opened(tikv, prefix) as (backend, behind):
            backend.writer.settle_seconds = 0.3
            behind.store.hold(second_phase(prefix), forward=True)
            with pytest.raises(UnknownOutcome):
                await put(backend, b"k", VALUE)
            await asyncio.wait_for(behind.store.tripped.wait(), 120)
            # Not before TiKV is silent: until then a slow machine needs its time.
            monkeypatch.setattr("brainctl.tikv.client.limits.PATIENCE", 0.2)
            monkeypatch.setattr("brainctl.tikv.client.limits.ANSWER_SECONDS", 0.5)
            monkeypatch.setattr("brainctl.tikv.backend.CLOSE_SECONDS", 0.2)
            with pytest.raises(ApiError) as refused:
                await value(backend, b"k")
            assert refused.value.status == TIMEOUT

    asyncio.run(run())


@pytest.mark.usefixtures("two_phases")
def test_the_control_a_client_without_settling_does_not_know(
    tikv: Playground, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cut, at the level of the transaction, while TiKV stays away."""

    async def run() -> None:
        async with opened(tikv, prefix) as (backend, behind):
            transaction = await backend._client.begin()
            behind.store.hold(second_phase(prefix), forward=True)
            pending = asyncio.ensure_future(transaction.commit({prefix.encode() + b"/x": VALUE}))
            await asyncio.wait_for(behind.store.tripped.wait(), 120)
            monkeypatch.setattr("brainctl.tikv.client.limits.PATIENCE", 0.5)
            behind.store.cut()
            with pytest.raises(TikvFailed) as unknown:
                await asyncio.wait_for(pending, 120)
            assert unknown.value.failure is Failure.UNDETERMINED
            assert unknown.value.failure not in NOT_WRITTEN
            behind.store.release()

    asyncio.run(run())
