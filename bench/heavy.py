"""How long small gets take while one request asks for much, on etcd and on brainctl, each on this machine by itself.

`python -m bench.heavy` prints a table: for each heavy request how long it took, and the 99th percentile and the worst
of the gets that one client sent beside it, one after the other with a pause of a millisecond. `--keys` says how many
keys there are, `--only` picks the requests that have a text in their name, `--store tikv` has brainctl serve a store on
a TiKV cluster of this machine (a real Placement Driver and unistore) instead of a directory.
"""

import argparse
import multiprocessing
import multiprocessing.synchronize
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.servers import Brainctl, Etcd, Playground, Server

ROOT = Path(__file__).resolve().parent.parent
VALUE = b"v" * 64
PER_TXN = 128
PREFIX, END = b"/heavy/", b"/heavy0"
SMALL = b"/small"
KV, MAINTENANCE, LEASE = "/etcdserverpb.KV/", "/etcdserverpb.Maintenance/", "/etcdserverpb.Lease/"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
QUOTA = ("--quota-backend-bytes", str(32 << 30))


class Row(NamedTuple):
    """What one heavy request did on one server; milliseconds."""

    name: str
    server: str
    took: float
    gets: int
    p99: float
    worst: float


class Client:
    """Unary calls with marshalled messages."""

    def __init__(self, endpoint: str) -> None:
        self._channel: Any = grpc.insecure_channel(endpoint, options=OPTIONS)  # its stubs want (de)serialisers

    def call(self, path: str, body: bytes) -> bytes:
        """One call; the marshalled response."""
        answer: bytes = self._channel.unary_unary(path)(body)
        return answer

    def stream(self, path: str, requests: Iterator[bytes]) -> Iterator[bytes]:
        """The marshalled responses of a call."""
        found: Iterator[bytes] = self._channel.stream_stream(path)(requests)
        return found

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.heavy", description=__doc__)
    parser.add_argument("--keys", type=int, default=300_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--server", choices=("etcd", "brainctl", "both"), default="both")
    parser.add_argument("--store", choices=("directory", "tikv"), default="directory", help="of brainctl")
    options = parser.parse_args()
    rows: list[Row] = []
    for kind in ("etcd", "brainctl"):
        with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
            if options.server in ("both", kind):
                with server_of(kind, Path(name), options.store) as server:
                    rows += measure(server, options.keys, options.only)
    print(table(rows))


@contextmanager
def server_of(kind: str, directory: Path, store: str) -> Iterator[Server]:
    """A server on a fresh directory, or brainctl on a fresh cluster below it."""
    if kind == "etcd":
        with Etcd(directory, *QUOTA, fsync=True) as server:
            yield server
    elif store == "tikv":
        with (
            Playground(directory / "cluster") as cluster,
            Brainctl(directory / "server", store=cluster.url("heavy")) as server,
        ):
            yield server
    else:
        with Brainctl(directory, *QUOTA) as server:
            yield server


def measure(server: Server, keys: int, only: str) -> list[Row]:
    """All heavy requests, one after the other, on one server."""
    rows = []
    with closing(Client(server.endpoint)) as client:
        lease = fill(client, keys)
        for name, request in heavy(keys, lease).items():
            if only in name:
                rows.append(beside(server, name, partial(request, client)))
                print(rows[-1], flush=True)
    return rows


def fill(client: Client, keys: int) -> int:
    """Put the keys, a tenth of them with a lease, which is given back."""
    lease = pb.LeaseGrantResponse.FromString(
        client.call(f"{LEASE}LeaseGrant", pb.LeaseGrantRequest(TTL=86_400).SerializeToString())
    ).ID
    client.call(f"{KV}Put", pb.PutRequest(key=SMALL, value=VALUE).SerializeToString())
    for prefix, count, on in ((PREFIX, keys, 0), (b"/leased/", keys // 10, lease)):
        for first in range(0, count, PER_TXN):
            puts = [
                pb.RequestOp(request_put=pb.PutRequest(key=b"%b%08d" % (prefix, number), value=VALUE, lease=on))
                for number in range(first, min(first + PER_TXN, count))
            ]
            client.call(f"{KV}Txn", pb.TxnRequest(success=puts).SerializeToString())
    return lease


def heavy(keys: int, lease: int) -> dict[str, Callable[[Client], object]]:
    """The requests by name; those that take away what the others ask for come last."""

    ranged = partial(pb.RangeRequest, key=PREFIX, range_end=END)

    def of(path: str, request: Message) -> Callable[[Client], object]:
        body = request.SerializeToString()
        return lambda client: client.call(path, body)

    limited = pb.RequestOp(request_range=ranged(limit=1))
    counted = pb.RequestOp(request_range=ranged(count_only=True))
    everything = pb.RequestOp(request_range=ranged())
    put = pb.RequestOp(request_put=pb.PutRequest(key=SMALL, value=VALUE))
    descending, by_value = pb.RangeRequest.DESCEND, pb.RangeRequest.VALUE
    return {
        "list": of(f"{KV}Range", ranged()),
        "list again": of(f"{KV}Range", ranged()),
        "list, keys only": of(f"{KV}Range", ranged(keys_only=True)),
        "list with min_mod_revision": of(f"{KV}Range", ranged(min_mod_revision=keys)),
        "list, sorted by value": of(f"{KV}Range", ranged(limit=10, sort_order=descending, sort_target=by_value)),
        "count at an old revision": of(f"{KV}Range", ranged(count_only=True, revision=3)),
        "transaction of 128 ranges with limit 1": of(f"{KV}Txn", pb.TxnRequest(success=[limited] * 128)),
        "transaction of 128 counts and a put": of(f"{KV}Txn", pb.TxnRequest(success=[counted] * 127 + [put])),
        "transaction with a whole list and a put": of(f"{KV}Txn", pb.TxnRequest(success=[everything, put])),
        "HashKV": of(f"{MAINTENANCE}HashKV", pb.HashKVRequest()),
        "snapshot": _snapshot,
        "watch from the first revision": _watch,
        "revoke of a lease": of(f"{LEASE}LeaseRevoke", pb.LeaseRevokeRequest(ID=lease)),
        "delete of all keys": of(f"{KV}DeleteRange", pb.DeleteRangeRequest(key=PREFIX, range_end=END)),
        "list of none, after that": of(f"{KV}Range", ranged()),
        "compaction": _compact,
    }


def _snapshot(client: Client) -> None:
    for _ in client.stream(f"{MAINTENANCE}Snapshot", iter([b""])):
        pass


def _watch(client: Client) -> None:
    now = pb.RangeResponse.FromString(client.call(f"{KV}Range", pb.RangeRequest(key=SMALL).SerializeToString()))
    create = pb.WatchCreateRequest(key=PREFIX, range_end=END, start_revision=1, fragment=True)
    responses = client.stream("/etcdserverpb.Watch/Watch", _kept_open(pb.WatchRequest(create_request=create)))
    for body in responses:
        response = pb.WatchResponse.FromString(body)
        if response.events and response.events[-1].kv.mod_revision >= now.header.revision - now.header.revision // 8:
            return


def _kept_open(request: pb.WatchRequest) -> Iterator[bytes]:
    yield request.SerializeToString()
    time.sleep(600)


def _compact(client: Client) -> None:
    now = pb.RangeResponse.FromString(client.call(f"{KV}Range", pb.RangeRequest(key=SMALL).SerializeToString()))
    request = pb.CompactionRequest(revision=now.header.revision, physical=True)
    client.call(f"{KV}Compact", request.SerializeToString())
    time.sleep(2)  # what it has left to do is done beside the requests


def beside(server: Server, name: str, act: Callable[[], object]) -> Row:
    """Gets from a process of their own, before, during and shortly after a request."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    getter = context.Process(target=_get, args=(server.endpoint, there, stop))
    getter.start()
    here.recv()  # it has begun
    began = time.monotonic()
    act()
    took = time.monotonic() - began
    time.sleep(0.3)
    stop.set()
    times: list[float] = sorted(here.recv())
    getter.join()
    p99 = times[int(len(times) * 0.99)]
    return Row(name, server.name, took * 1e3, len(times), p99 * 1e3, times[-1] * 1e3)


def _get(endpoint: str, report: Connection, stop: multiprocessing.synchronize.Event) -> None:
    body = pb.RangeRequest(key=SMALL, serializable=True).SerializeToString()
    times = []
    with closing(Client(endpoint)) as client:
        for _ in range(50):
            client.call(f"{KV}Range", body)
        report.send(None)
        while not stop.is_set():
            began = time.monotonic()
            client.call(f"{KV}Range", body)
            times.append(time.monotonic() - began)
            time.sleep(0.001)
    report.send(times)


def table(rows: list[Row]) -> str:
    """The rows as a table in Markdown, a request in each."""
    lines = [
        "| request | etcd: took | gets p99 | worst | brainctl: took | gets p99 | worst |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys(row.name for row in rows):
        cells = []
        for server in ("etcd", "brainctl"):
            found = next((row for row in rows if (row.name, row.server) == (name, server)), None)
            cells += ["", "", ""] if found is None else [f"{n:,.1f}" for n in (found.took, found.p99, found.worst)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
