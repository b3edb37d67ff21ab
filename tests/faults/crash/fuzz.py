"""Bytes of every format, changed in every way: nothing hangs, and nothing fails but as it is declared to.

A case is a seed: a sound input is changed (bits, bytes, cuts, repeats, numbers that are too large) and handed to the
reader of its format. `python -m tests.faults.crash.fuzz --cases 1000000` runs as many as wanted,
`--kind K --seed N --cases 1` one of them again.
"""

import argparse
import logging
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from types import FrameType
from typing import Any

from google.protobuf.message import DecodeError

from brainctl.engine.engine import Engine
from brainctl.engine.offline.check import check
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.machine.record import History, Phase, Record, Span
from brainctl.wire import bbolt, frames
from brainctl.wire.headers import literal_block
from brainctl.wire.http1 import Http1Fault, Http1Reader
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection
from tests.faults.crash.workload import DIRECTORY, OPTIONS, Workload
from tests.faults.simulation.model import Model
from tests.faults.simulation.requests import Requests
from tests.support.memory_fs import MemoryFileSystem
from tests.support.rpc import METHODS, InProcess

HANG_SECONDS = 5
"""Of processor time: how long a case takes by the clock says more about the machine."""
MEMORY_BYTES = 500 << 20
DECLARED = (BrainctlError, DecodeError, Http1Fault)
LARGE = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")


def changed(data: bytes, rng: Random) -> bytes:
    """Something close to `data`."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(7):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(out):
                out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del out[at : at + rng.choice((1, 2, 8, 100, 4096))]
            case 3:
                out[at:at] = rng.randbytes(rng.choice((1, 4, 30)))
            case 4:
                out[at:at] = out[at : at + rng.choice((1, 8, 64))]
            case 5:
                large = rng.choice(LARGE)
                out[at : at + len(large)] = large
            case _:
                del out[at:]
    return bytes(out)


class Store:
    """A store with segments, packed ones among them, and runs; one of its files is changed."""

    def __init__(self) -> None:
        workload, self._fs = Workload(11), MemoryFileSystem()
        workload.run(self._fs, 60)
        assert workload.engine is not None
        for _ in workload.engine.background.defragment():
            pass
        workload.engine.close()
        self._paths = [path for path in self._fs.paths() if "LOCK" not in path]

    def __call__(self, rng: Random) -> None:
        fs = self._fs.clone()
        path = rng.choice(self._paths)
        fs.replace(path, changed(fs.content(path), rng))
        if rng.random() < 0.2:
            check(DIRECTORY, fs)
            return
        engine = Engine.open(DIRECTORY, fs, OPTIONS, rng)
        list(engine.view.versions(b"", None, 0))
        list(engine.view.history(max(engine.view.compacted, 1), engine.view.revision))
        engine.close()


class Snapshot:
    """A snapshot in etcd's format."""

    def __init__(self) -> None:
        pages: list[bytes] = []
        writer = bbolt.Writer(pages.append)
        writer.bucket(b"key", [(b"%05d" % number, b"v" * 40) for number in range(400)])
        writer.bucket(b"meta", [(b"name", b"value")])
        self._data = writer.finish() + b"".join(pages)

    def __call__(self, rng: Random) -> None:
        reader = bbolt.Reader(changed(self._data, rng))
        for name in reader.buckets:
            for _ in reader.items(name):
                pass


class Checkpoint:
    """The record of a migration."""

    def __init__(self) -> None:
        spans = (Span(b"a", b"b"), Span(b"b", b""))
        self._data = Record(Phase.COPYING, 7, History.ALL, 7, 7, 100, 20, 812, spans=spans).encode()

    def __call__(self, rng: Random) -> None:
        Record.decode(changed(self._data, rng))


class Request:
    """The requests of every unary method of a node."""

    def __init__(self) -> None:
        self._api = InProcess()
        self._paths = [path for path in METHODS if not METHODS[path].client_streaming]
        self._paths = [path for path in self._paths if path in self._api.node.handlers and "Auth" not in path]
        self._requests, self._model = Requests(Random(1)), Model()

    def __call__(self, rng: Random) -> None:
        body = self._requests.write(self._model).SerializeToString()
        if rng.random() < 0.3:
            body = pb.RangeRequest(key=b"a", range_end=b"b", limit=3, revision=rng.randrange(9)).SerializeToString()
        answers: list[bytes | BrainctlError] = []
        self._api.node.call(rng.choice(self._paths), changed(body, rng), answers.append)
        while self._api.backend.tasks:
            self._api.loop.call_soon(self._api.loop.stop)
            self._api.loop.run_forever()
        if answers and isinstance(answers[0], BrainctlError):
            raise answers[0]

    def close(self) -> None:
        self._api.close()


class Frames:
    """What a client sends on a connection of HTTP/2."""

    def __init__(self) -> None:
        path = b"/etcdserverpb.KV/Put"
        head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b"content-type", b"application/grpc")]
        body = pb.PutRequest(key=b"k", value=b"v" * 50).SerializeToString()
        sent = [frames.PREFACE, frames.settings({frames.INITIAL_WINDOW_SIZE: 70_000})]
        for stream in (1, 3, 5):
            sent.append(frames.headers(stream, literal_block(head), end_stream=False))
            sent.append(frames.frame(frames.DATA, 1, stream, len(body).to_bytes(5) + body))
        sent.append(frames.frame(frames.PING, 0, 0, bytes(8)))
        sent.append(frames.frame(frames.WINDOW_UPDATE, 0, 0, (1000).to_bytes(4)))
        self._data = b"".join(sent)

    def __call__(self, rng: Random) -> None:
        server = ServerConnection(frozenset(), Limits(message_bytes=2000, streams=4, queue_bytes=5000))
        data = changed(self._data, rng)
        for at in range(0, len(data), 64):
            server.receive(data[at : at + 64])
        server.take()
        server.close()


class Page:
    """What a client sends on a connection of HTTP/1.1."""

    DATA = (
        b"POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nhello world"
        b"POST /v3/kv/range HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )

    def __call__(self, rng: Random) -> None:
        reader = Http1Reader(1000)
        reader.feed(changed(self.DATA, rng))
        while reader.next_request() is not None:
            pass


def nothing_to_close() -> None:
    """Most readers hold nothing."""


KINDS: dict[str, Callable[[], Callable[[Random], None]]] = {
    "store": Store,
    "snapshot": Snapshot,
    "checkpoint": Checkpoint,
    "request": Request,
    "frames": Frames,
    "page": Page,
}


def hung(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"no end after {HANG_SECONDS} s")


def run(kind: str, seed: int, cases: int) -> Counter[str]:
    """Try cases from `seed` on: how many were taken, and how many were refused with which error.

    AssertionError for one that failed in another way, or took too long.
    """
    one, seen = KINDS[kind](), Counter[str]()
    before = signal.signal(signal.SIGPROF, hung)
    try:
        for number in range(seed, seed + cases):
            signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
            try:
                one(Random(number))
            except DECLARED as refusal:
                seen[type(refusal).__name__] += 1
            except Exception as error:
                raise AssertionError(f"--kind {kind} --seed {number}: {type(error).__name__}: {error}") from error
            else:
                seen["taken"] += 1
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        getattr(one, "close", nothing_to_close)()
    return seen


SHARES = {"store": 0.02, "snapshot": 0.08, "checkpoint": 0.2, "request": 0.3, "frames": 0.2, "page": 0.2}
"""Of all cases; opening a store takes longest."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS)
    arguments: Any = parser.parse_args()
    logging.disable(logging.CRITICAL)
    shares = {arguments.kind: 1.0} if arguments.kind else SHARES
    for kind, share in shares.items():
        began, cases = time.monotonic(), round(arguments.cases * share)
        seen = run(kind, arguments.seed, cases)
        found = ", ".join(f"{count} {name}" for name, count in seen.most_common())
        sys.stdout.write(f"{kind}: {cases} cases in {time.monotonic() - began:.0f} s: {found}\n")
        sys.stdout.flush()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    sys.stdout.write(f"{most >> 20} MiB at most\n")
    return int(most > MEMORY_BYTES)


if __name__ == "__main__":
    sys.exit(main())
