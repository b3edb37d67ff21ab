"""A server under test, called through raw gRPC stubs: nothing between the test and the messages."""

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from brainctl.errors import Code
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.servers import Brainctl, Etcd
from tests.support.rpc import Refused, Remote

KV = "/etcdserverpb.KV/"
LEASE = "/etcdserverpb.Lease/"
AUTH = "/etcdserverpb.Auth/"
CLUSTER = "/etcdserverpb.Cluster/"
MAINTENANCE = "/etcdserverpb.Maintenance/"
LOCK = "/v3lockpb.Lock/"
ELECTION = "/v3electionpb.Election/"
WATCH = "/etcdserverpb.Watch/Watch"
SECONDS = 240.0
"""The longest life of a watch stream."""
ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
SMALL_WINDOW = [*ANY_SIZE, ("grpc.http2.bdp_probe", 0)]
"""The client's window stays at 64 KiB, instead of growing with what the server has to send."""


class Client(Remote):
    """Each call of the API in few words; an answer other than OK is Refused."""

    def __init__(self, server: Brainctl | Etcd) -> None:
        super().__init__(server.endpoint, options=ANY_SIZE)
        self.server = server

    def put(self, key: bytes, value: bytes = b"", **fields: Any) -> pb.PutResponse:
        return self.call(KV + "Put", pb.PutRequest(key=key, value=value, **fields))

    def get(self, key: bytes, end: bytes = b"", **fields: Any) -> pb.RangeResponse:
        return self.call(KV + "Range", pb.RangeRequest(key=key, range_end=end, **fields))

    def keys(self, key: bytes, end: bytes = b"", **fields: Any) -> list[bytes]:
        return [kv.key for kv in self.get(key, end, **fields).kvs]

    def delete(self, key: bytes, end: bytes = b"", **fields: Any) -> pb.DeleteRangeResponse:
        return self.call(KV + "DeleteRange", pb.DeleteRangeRequest(key=key, range_end=end, **fields))

    def txn(
        self,
        compare: Sequence[pb.Compare] = (),
        success: Sequence[pb.RequestOp] = (),
        failure: Sequence[pb.RequestOp] = (),
    ) -> pb.TxnResponse:
        return self.call(KV + "Txn", pb.TxnRequest(compare=compare, success=success, failure=failure))

    def compact(self, revision: int) -> pb.CompactionResponse:
        return self.call(KV + "Compact", pb.CompactionRequest(revision=revision, physical=True))

    def grant(self, ttl: int = 1000, lease: int = 0) -> pb.LeaseGrantResponse:
        return self.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(TTL=ttl, ID=lease))

    def revoke(self, lease: int) -> pb.LeaseRevokeResponse:
        return self.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))

    def time_to_live(self, lease: int, *, keys: bool = False) -> pb.LeaseTimeToLiveResponse:
        return self.call(LEASE + "LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease, keys=keys))

    def leases(self) -> list[int]:
        return [lease.ID for lease in self.call(LEASE + "LeaseLeases", pb.LeaseLeasesRequest()).leases]

    def status(self) -> pb.StatusResponse:
        return self.call(MAINTENANCE + "Status", pb.StatusRequest())

    @property
    def revision(self) -> int:
        return self.get(b"\0").header.revision

    def history(self, revision: int, key: bytes, end: bytes, number: int) -> list[kv_pb2.Event]:
        """The first events of a range from a revision on."""
        with self.watch() as watch:
            watch.create(key, end, start_revision=revision)
            return watch.events(number)

    def watch(
        self, *, token: str | None = None, metadata: Sequence[tuple[str, str]] = (), window: bool = False
    ) -> "Watch":
        """A watch stream; with `window` on a connection of its own that takes 64 KiB ahead."""
        channel = grpc.insecure_channel(self.server.endpoint, SMALL_WINDOW) if window else None
        return Watch(channel or self._channel, [*metadata, *([("token", token)] if token else [])], channel)

    def restart(self, *, kill: bool = False) -> None:
        """Stop the server (kill -9), and start it again on the same data."""
        self.close()
        if kill:
            self.server.kill()
        else:
            self.server.stop()
        self.server.start()
        super().__init__(self.server.endpoint, options=ANY_SIZE)


class Watch:
    """One watch stream; a context manager."""

    def __init__(
        self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]], own: grpc.Channel | None = None
    ) -> None:
        self._requests: SimpleQueue[pb.WatchRequest | None] = SimpleQueue()
        opened = channel.stream_stream(WATCH, pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString)
        self._responses = opened(iter(self._requests.get, None), timeout=SECONDS, metadata=metadata)
        self._own = own

    def create(self, key: bytes, end: bytes = b"", **fields: Any) -> pb.WatchResponse:
        """Ask for a watcher, and return the next response."""
        self.send(create_request=pb.WatchCreateRequest(key=key, range_end=end, **fields))
        return self.next()

    def cancel(self, watch_id: int) -> None:
        self.send(cancel_request=pb.WatchCancelRequest(watch_id=watch_id))

    def ask_progress(self) -> None:
        self.send(progress_request=pb.WatchProgressRequest())

    def send(self, **request: Any) -> None:
        self._requests.put(pb.WatchRequest(**request))

    def next(self) -> pb.WatchResponse:
        try:
            return next(self._responses)
        except grpc.RpcError as error:
            raise Refused(Code(error.code().value[0]), error.details() or "") from error

    def events(self, number: int) -> list[kv_pb2.Event]:
        """The next events, from as many responses as they come in."""
        found: list[kv_pb2.Event] = []
        while len(found) < number:
            response = self.next()
            assert not response.canceled, response
            found += response.events
        assert len(found) == number
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
        self._responses.cancel()
        if self._own is not None:
            self._own.close()


def refused(call: Callable[..., Message], *arguments: Any, **fields: Any) -> tuple[Code, str]:
    """The code and text with which a call is refused."""
    try:
        answer = call(*arguments, **fields)
    except Refused as refusal:
        return refusal.code, refusal.text
    raise AssertionError(f"not refused: {answer}")


def shape(events: Sequence[kv_pb2.Event]) -> list[tuple[str, bytes, bytes]]:
    """What happened, without revisions."""
    return [(kv_pb2.Event.EventType.Name(event.type), event.kv.key, event.kv.value) for event in events]
