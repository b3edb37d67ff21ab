"""How long a server takes from its start as a process to its first answer."""

import contextlib
import os
import resource
import socket
import time
from pathlib import Path

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.wire.client import ClientConnection
from brainctl.wire.events import Ended
from tests.peers.process import Child
from tests.peers.servers import Server, clean_environment

RANGE = "/etcdserverpb.KV/Range"
SECONDS = 60.0


def first_answer(server: Server, key: bytes) -> tuple[float, float]:
    """Start a server, read a key that is there, kill it; seconds up to the answer, and of CPU until it was killed."""
    before = _cpu_of_children()
    request = pb.RangeRequest(key=key).SerializeToString()
    begun = time.perf_counter()
    server.child = Child(server.argv(), server.directory / f"{server.name}.log", environment())
    try:
        while time.perf_counter() - begun < SECONDS:
            answer = _ask(server.port, request)
            taken = time.perf_counter() - begun
            if answer is not None:
                assert key in answer, f"{server.name} has lost {key!r}"
                server.kill()
                return taken, _cpu_of_children() - before
            time.sleep(0.001)
    finally:
        server.kill()
    raise AssertionError(f"{server.name} did not answer:\n{server.child.output()}")


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def environment() -> dict[str, str]:
    """As an installed brainctl runs: its modules are compiled once, and kept."""
    return {name: value for name, value in clean_environment().items() if name != "PYTHONDONTWRITEBYTECODE"}


def _ask(port: int, request: bytes) -> bytes | None:
    """The answer to one Range request; None while there is none to be had."""
    connection = ClientConnection("bench")
    connection.request(RANGE, request)
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as stream:
        stream.sendall(connection.take())
        while data := stream.recv(1 << 16):
            for event in connection.receive(data):
                if isinstance(event, Ended):
                    return event.message if event.code == 0 else None
            stream.sendall(connection.take())
    return None


def forget(directory: Path) -> None:
    """Have the kernel drop what it has in memory of the files of a directory."""
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
