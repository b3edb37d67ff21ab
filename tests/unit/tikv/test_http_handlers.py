"""The HTTP handlers of a server whose TiKV is away: they answer, and say why; and its metrics."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from brainctl.clock import SystemClock
from brainctl.node.node import Node
from brainctl.server import http_handlers
from brainctl.server.http_request import HttpRequest, HttpResponse
from brainctl.tikv.backend import open_backend
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.unit.tikv.calls import put, read
from tests.unit.tikv.proxy import proxied


class Told:
    """An exchange that keeps the response."""

    def __init__(self) -> None:
        self.response: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()

    def respond(self, response: HttpResponse) -> None:
        self.response.set_result(response)


async def fetch(served: http_handlers.HttpHandlers, target: str) -> HttpResponse:
    told = Told()
    served.serve(HttpRequest("GET", target, {}, b"", secure=False, local=True), told)
    return await asyncio.wait_for(told.response, 60)


async def until_ready(served: http_handlers.HttpHandlers) -> None:
    """Ask until the answer is yes; each answer takes up to the time limit of the handler."""
    while (await fetch(served, "/readyz"))[0] != 200:
        pass


def figures(text: bytes) -> Mapping[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if line.startswith("brainctl_tikv")]
    return {name: float(value) for name, value in lines}


def test_probes_are_answered_while_tikv_is_silent(
    tikv: Playground, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with proxied(tikv) as behind:
            backend = await open_backend([behind.endpoint], prefix, Role.FOLLOWER)
            served = http_handlers.HttpHandlers(Node(backend, SystemClock()))
            assert (await fetch(served, "/readyz"))[0] == 200
            behind.store.hold(lambda _: True, forward=False)
            monkeypatch.setattr(http_handlers, "ANSWER_SECONDS", 0.5)
            for target in ("/readyz", "/livez", "/health"):
                status, _, body = (await fetch(served, target))[:3]
                assert status == 503
                assert b"the store has not answered within 0.5 s" in body
            # What needs no TiKV is answered all the same.
            assert (await fetch(served, "/metrics"))[0] == (await fetch(served, "/version"))[0] == 200
            behind.store.cut()
            behind.store.release()
            await asyncio.wait_for(backend.close(), 120)

    asyncio.run(run())


def test_probes_are_answered_when_tikv_was_killed(tmp_path: Path) -> None:
    async def run() -> None:
        with Playground(tmp_path) as killed:
            backend = await open_backend([killed.endpoint], "killed", Role.FOLLOWER)
            served = http_handlers.HttpHandlers(Node(backend, SystemClock()))
            await until_ready(served)
            killed.kill()
            status, _, body = (await fetch(served, "/readyz"))[:3]
            assert status == 503
            for check in (b"serializable_read", b"linearizable_read"):
                assert b"[-]%s failed: " % check in body
            assert b"not answer" in body
            await asyncio.to_thread(killed.start)
            await until_ready(served)
            await asyncio.wait_for(backend.close(), 120)

    asyncio.run(run())


def test_metrics_tell_what_tikv_is_asked_for(tikv: Playground, prefix: str) -> None:
    async def run() -> None:
        backend = await open_backend([tikv.endpoint], prefix, Role.LEADER)
        served = http_handlers.HttpHandlers(Node(backend, SystemClock()))
        before = figures((await fetch(served, "/metrics"))[2])
        await put(backend, b"a")
        await put(backend, b"b")
        assert (await read(backend, b"a", b"c")).count == 2
        after = figures((await fetch(served, "/metrics"))[2])
        commits = 'brainctl_tikv_request_seconds_count{kind="commit"}'
        assert after[commits] - before[commits] >= 2
        scanned = 'brainctl_tikv_keys_total{kind="scan"}'
        assert after[scanned] - before[scanned] >= 2
        assert after['brainctl_tikv_failures_total{reason="unavailable"}'] == 0
        await backend.close()

    asyncio.run(run())
