"""What one unary call costs the edge: an echo node behind the server, measured from outside; the load is this process.

    python -m bench.edge [--seconds 4] [--connections 10] [--streams 10] [--bytes 256] [--late]

Prints calls per second, and the CPU time of the server process per call. `--late` has the node answer in a later turn
of the event loop, as a write does. `--profile FILE` writes the server's profile (cProfile), which slows everything.
"""

import argparse
import asyncio
import cProfile
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

from brainctl.clock import SystemClock
from brainctl.errors import BrainctlError
from brainctl.node.jobs.scrubber import Scrubber
from brainctl.node.local.write_stages import Stages
from brainctl.node.metrics import NodeMetrics
from brainctl.server.app import serve
from brainctl.server.node_protocol import Replies, Reply, WatchSession
from brainctl.wire.client import ClientConnection
from brainctl.wire.events import Closed, Ended

RANGE = "/etcdserverpb.KV/Range"
PUT = "/etcdserverpb.KV/Put"


class EchoNode:
    """Answers RANGE at once, everything else in a batch in the next turn of the event loop."""

    def __init__(self) -> None:
        self._batch: list[tuple[bytes, Reply]] = []
        self.stages = Stages(SystemClock())

    process_token = ""
    has_leader = True
    scrubber: Scrubber | None = None

    def tell_wear(self, reply: Callable[[dict[str, object] | BrainctlError], None]) -> None:
        reply({})

    def figures(self) -> NodeMetrics:
        return NodeMetrics()

    def call(self, method: str, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        del token, common_name
        if method == RANGE:
            reply(body)
            return
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._commit)
        self._batch.append((body, reply))

    def _commit(self) -> None:
        batch, self._batch = self._batch, []
        for body, reply in batch:
            reply(body)

    def puts(self, bodies: list[bytes], replies: Replies, token: str | None, common_name: str | None) -> None:
        for place, body in enumerate(bodies):
            self.call(PUT, body, partial(replies.one, place), token, common_name)

    def keep_alive(self, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        del token, common_name
        reply(body)

    def watch(self, send: Callable[[bytes], None], token: str | None, common_name: str | None) -> WatchSession:
        raise NotImplementedError

    def stream(self, method: str, body: bytes, token: str | None, common_name: str | None) -> AsyncIterator[bytes]:
        raise NotImplementedError


class Load(asyncio.Protocol):
    """One connection that keeps a number of calls in flight."""

    def __init__(self, path: str, body: bytes, streams: int) -> None:
        self._connection = ClientConnection("bench")
        self._path = path
        self._body = body
        self._streams = streams
        self._transport: asyncio.Transport | None = None
        self.calls = 0
        self.failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        for _ in range(self._streams):
            self._connection.request(self._path, self._body)
        self._transport.write(self._connection.take())

    def data_received(self, data: bytes) -> None:
        connection, path, body = self._connection, self._path, self._body
        for event in connection.receive(data):
            if type(event) is Ended:
                self.calls += 1
                if event.message != body:
                    self.failures += 1
                connection.request(path, body)
            elif type(event) is Closed:
                self.failures += 1
        assert self._transport is not None
        self._transport.write(connection.take())


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(port: int, pid: int, options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    path = PUT if options.late else RANGE
    connections = [
        (await loop.create_connection(lambda: Load(path, bytes(options.bytes), options.streams), "127.0.0.1", port))[1]
        for _ in range(options.connections)
    ]
    await asyncio.sleep(0.5)
    calls, cpu, own, start = sum(c.calls for c in connections), cpu_seconds(pid), time.process_time(), time.monotonic()
    await asyncio.sleep(options.seconds)
    calls = sum(c.calls for c in connections) - calls
    cpu, own, elapsed = cpu_seconds(pid) - cpu, time.process_time() - own, time.monotonic() - start
    assert not any(c.failures for c in connections)
    print(
        f"{calls / elapsed:,.0f} calls/s, server {cpu / calls * 1e6:.2f} us CPU per call, "
        f"load {own / calls * 1e6:.2f} us"
    )


def server(profile: str | None) -> None:
    profiler = cProfile.Profile() if profile else None
    if profiler:
        profiler.enable()
    uvloop.run(serve(EchoNode(), "127.0.0.1:0", on_ready=lambda address: print(address, flush=True)))
    if profiler:
        profiler.dump_stats(profile or "")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--bytes", type=int, default=256)
    parser.add_argument("--late", action="store_true")
    parser.add_argument("--profile")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server:
        server(options.profile)
        return
    command = [sys.executable, "-m", "bench.edge", "--server"]
    if options.profile:
        command += ["--profile", options.profile]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline().rpartition(":")[2])
        try:
            uvloop.run(load(port, child.pid, options))
        finally:
            child.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
