"""`brainctl serve` and a real etcd with the same history: each request goes to both, and the answers are compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb
from tests.differential import accepted
from tests.differential.operations import KEYS, Step, Streamed, Watched, resolve
from tests.differential.streams import Gone, Stream
from tests.peers.servers import Brainctl, Etcd
from tests.support.rpc import SECONDS

KV, LEASE = "/etcdserverpb.KV/", "/etcdserverpb.Lease/"
HASH_KV = "/etcdserverpb.Maintenance/HashKV"
CALLS: dict[type[Message], tuple[str, type[Message]]] = {
    pb.RangeRequest: (KV + "Range", pb.RangeResponse),
    pb.PutRequest: (KV + "Put", pb.PutResponse),
    pb.DeleteRangeRequest: (KV + "DeleteRange", pb.DeleteRangeResponse),
    pb.TxnRequest: (KV + "Txn", pb.TxnResponse),
    pb.CompactionRequest: (KV + "Compact", pb.CompactionResponse),
    pb.LeaseGrantRequest: (LEASE + "LeaseGrant", pb.LeaseGrantResponse),
    pb.LeaseRevokeRequest: (LEASE + "LeaseRevoke", pb.LeaseRevokeResponse),
    pb.LeaseTimeToLiveRequest: (LEASE + "LeaseTimeToLive", pb.LeaseTimeToLiveResponse),
    pb.LeaseLeasesRequest: (LEASE + "LeaseLeases", pb.LeaseLeasesResponse),
    pb.HashKVRequest: (HASH_KV, pb.HashKVResponse),
}
Outcome = tuple[str, object]


class Side:
    """One of the two servers."""

    def __init__(self, server: Brainctl | Etcd) -> None:
        self.server = server.start()
        self._channel = grpc.insecure_channel(server.endpoint, [("grpc.max_receive_message_length", -1)])
        self._methods = {kind: self._channel.unary_unary(path) for kind, (path, _) in CALLS.items()}
        self._range_stream = self._channel.unary_stream(KV + "RangeStream", None, pb.RangeStreamResponse.FromString)
        self._keep_alive = self._channel.stream_stream(LEASE + "LeaseKeepAlive")
        self.streams: list[Stream] = []

    def ask(self, request: Message) -> grpc.Future:
        """Send a request; `answer` waits for what comes of it."""
        return self._methods[type(request)].future(request.SerializeToString(), timeout=SECONDS)

    def answer(self, request: Message, asked: grpc.Future) -> Outcome:
        try:
            reply = CALLS[type(request)][1].FromString(asked.result())
        except grpc.RpcError as error:
            return self._error(error)
        return "ok", accepted.plain(request, reply)

    def keep_alive(self, request: pb.LeaseKeepAliveRequest) -> Outcome:
        (reply,) = self._keep_alive(iter([request.SerializeToString()]), timeout=SECONDS)
        return "ok", accepted.plain(request, pb.LeaseKeepAliveResponse.FromString(reply))

    def range_stream(self, request: pb.RangeRequest) -> Outcome:
        merged = pb.RangeResponse()
        try:
            for chunk in self._range_stream(request.SerializeToString(), timeout=SECONDS):
                merged.MergeFrom(chunk.range_response)
        except grpc.RpcError as error:
            return self._error(error)
        return "ok", accepted.plain(request, merged)

    def _error(self, error: grpc.RpcError) -> Outcome:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise Gone from error
        return "error", (error.code().value[0], error.details())

    def open_streams(self, number: int) -> None:
        for stream in self.streams:
            stream.close()
        self.streams = [Stream(self._channel) for _ in range(number)]

    def close(self) -> None:
        self.open_streams(0)
        self._channel.close()
        self.server.stop()


class EtcdGone(Exception):
    """The real etcd ended on a request; that is noted, and not held against brainctl."""


class Two:
    """Both, and the way to start them again with an empty history."""

    def __init__(self, directory: Path, ours: Callable[[Path], Brainctl] = Brainctl) -> None:
        self._directory = directory
        self._ours = ours
        self._number = 0
        self._sides: list[Side] = []
        self.steps = 0
        """Requests that were sent so far."""
        self.crashes: list[str] = []
        """Requests that etcd did not survive."""
        self.start()

    def start(self) -> None:
        """Begin again, with two empty servers."""
        self.close()
        self._number += 1
        at = self._directory / str(self._number)
        self._sides = [Side(self._ours(at / "brainctl")), Side(Etcd(at / "etcd"))]
        self.revision = 1
        self.unsettled = False

    def close(self) -> None:
        for side in self._sides:
            side.close()
        self._sides = []

    def run(self, steps: list[Step]) -> None:
        """A sequence of requests; AssertionError names the first whose answers differ."""
        try:
            self._clear()
            for step in steps:
                self._step(step)
            self._settle()
            self._compare("the hash", pb.HashKVRequest())
        except EtcdGone:
            self.start()
        except BaseException:
            self.start()
            raise

    def _clear(self) -> None:
        for lease in (7, 8, 9, 99):
            self._ask(pb.LeaseRevokeRequest(ID=lease))
        self._ask(pb.DeleteRangeRequest(key=b"\0", range_end=b"\0"))
        self._ask(pb.LeaseGrantRequest(ID=7, TTL=100_000))
        for number, key in enumerate(KEYS[::2]):
            self._ask(pb.PutRequest(key=key, value=b"%d" % (9 - number), lease=7 * (number % 2)))
        for side in self._sides:
            side.open_streams(2)

    def _step(self, step: Step) -> None:
        self.steps += 1
        if isinstance(step, Watched):
            self._watch(step)
        elif isinstance(step, Streamed):
            request = resolve(step.request, self.revision)
            if request.sort_target and not request.sort_order:
                request.sort_target = 0
            self._same(request, *(self._guarded(request, side.range_stream, side, request) for side in self._sides))
        else:
            if isinstance(step, pb.CompactionRequest) and self.unsettled:
                self._settle()
            self._ask(resolve(step, self.revision))

    def _ask(self, request: Message) -> None:
        if isinstance(request, pb.LeaseKeepAliveRequest):
            self._same(request, *(self._guarded(request, side.keep_alive, side, request) for side in self._sides))
            return
        self._compare(request, request)

    def _compare(self, name: object, request: Message) -> None:
        asked = [side.ask(request) for side in self._sides]
        ours, theirs = (
            self._guarded(name, side.answer, side, request, future)
            for side, future in zip(self._sides, asked, strict=True)
        )
        self._same(name, ours, theirs)

    def _same(self, name: object, ours: Outcome, theirs: Outcome) -> None:
        assert ours == theirs, f"{type(name).__name__}: {name}"
        if ours[0] == "ok":
            self.revision = max(self.revision, getattr(ours[1], "header").revision)  # noqa: B009

    def _guarded(self, name: object, action: Any, side: Side, *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except Gone as gone:
            if isinstance(side.server, Brainctl):
                pytest.fail(f"brainctl went away on {type(name).__name__}: {name}")
            self.crashes.append(f"{type(name).__name__}: {name}")
            raise EtcdGone from gone

    # -- watches ----------------------------------------------------------------------------------------------------

    def _watch(self, step: Watched) -> None:
        request = resolve(step.request, self.revision)
        names = request.HasField("cancel_request") or request.create_request.watch_id
        if names and self.unsettled:  # a watcher that etcd has not found to be lost yet still has its id
            self._settle()
        answers = [self._guarded(request, side.streams[step.stream].ask, side, request) for side in self._sides]
        self.unsettled = True
        assert answers[0] == answers[1], request

    def _settle(self) -> None:
        for side in self._sides:
            for stream in side.streams:
                forgets = isinstance(side.server, Brainctl)
                self._guarded("a watch", lambda s=stream, f=forgets: s.settle(self.revision, forgets=f), side)
        self.unsettled = False
        for ours, theirs in zip(self._sides[0].streams, self._sides[1].streams, strict=True):
            assert ours.events == theirs.events
            assert ours.answers == theirs.answers
            assert sorted(ours.lost) == sorted(theirs.lost)
