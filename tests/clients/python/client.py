"""Exercises an etcd endpoint with plain grpcio: python client.py HOST:PORT PREFIX. Prints "ok", or raises."""

import queue
import sys
from collections.abc import Iterator
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from brainctl.etcdpb import kv_pb2, rpc_pb2

Reply = TypeVar("Reply", bound=Message)


class Client:
    """The RPCs of one endpoint, by their paths."""

    def __init__(self, endpoint: str) -> None:
        self.channel = grpc.insecure_channel(endpoint)

    def call(self, path: str, request: Message, reply: type[Reply]) -> Reply:
        method = self.channel.unary_unary(
            f"/etcdserverpb.{path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=reply.FromString,
        )
        answer: Reply = method(request, timeout=120)
        return answer

    def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        request = rpc_pb2.PutRequest(key=key, value=value, lease=lease)
        return self.call("KV/Put", request, rpc_pb2.PutResponse).header.revision

    def range(self, key: bytes, end: bytes = b"") -> list[tuple[bytes, bytes]]:
        answer = self.call("KV/Range", rpc_pb2.RangeRequest(key=key, range_end=end), rpc_pb2.RangeResponse)
        return [(kv.key, kv.value) for kv in answer.kvs]

    def watch(self, requests: "queue.SimpleQueue[rpc_pb2.WatchRequest]") -> Iterator[rpc_pb2.WatchResponse]:
        method = self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=rpc_pb2.WatchResponse.FromString,
        )
        return iter(method(iter(requests.get, None), timeout=120))


def keys(client: Client, prefix: bytes) -> None:
    client.put(prefix + b"a", b"1")
    client.put(prefix + b"b", b"2" * 1_000_000)
    assert client.range(prefix, prefix[:-1] + b"0") == [(prefix + b"a", b"1"), (prefix + b"b", b"2" * 1_000_000)]
    deleted = client.call(
        "KV/DeleteRange",
        rpc_pb2.DeleteRangeRequest(key=prefix, range_end=prefix[:-1] + b"0", prev_kv=True),
        rpc_pb2.DeleteRangeResponse,
    )
    assert (deleted.deleted, deleted.prev_kvs[0].value) == (2, b"1")


def watches(client: Client, prefix: bytes) -> None:
    revision = client.put(prefix, b"1")
    requests: queue.SimpleQueue[rpc_pb2.WatchRequest] = queue.SimpleQueue()
    responses = client.watch(requests)
    create = rpc_pb2.WatchCreateRequest(key=prefix, start_revision=revision)
    requests.put(rpc_pb2.WatchRequest(create_request=create))
    first = next(responses)
    assert first.created
    event = next(responses).events[0]
    assert (event.type, event.kv.key, event.kv.mod_revision) == (kv_pb2.Event.PUT, prefix, revision)
    requests.put(rpc_pb2.WatchRequest(cancel_request=rpc_pb2.WatchCancelRequest(watch_id=first.watch_id)))
    assert next(responses).canceled


def leases(client: Client, prefix: bytes) -> None:
    grant = client.call("Lease/LeaseGrant", rpc_pb2.LeaseGrantRequest(TTL=60), rpc_pb2.LeaseGrantResponse)
    client.put(prefix, b"x", lease=grant.ID)
    client.call("Lease/LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=grant.ID), rpc_pb2.LeaseRevokeResponse)
    assert client.range(prefix) == []


def failures(client: Client, prefix: bytes) -> None:
    for attempt, code, text in (
        (lambda: client.put(b"", b"v"), grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: key is not provided"),
        (
            lambda: client.put(prefix, b"v", lease=987654321),
            grpc.StatusCode.NOT_FOUND,
            "etcdserver: requested lease not found",
        ),
    ):
        try:
            attempt()
        except grpc.RpcError as error:
            assert (error.code(), error.details()) == (code, text)
        else:
            raise AssertionError(f"no error: {text}")


def main() -> None:
    client = Client(sys.argv[1])
    for step in (keys, watches, leases, failures):
        step(client, f"{sys.argv[2]}/{step.__name__}/".encode())
    client.channel.close()
    print("ok")


main()
