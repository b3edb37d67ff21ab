"""Writes to an etcd at a steady rate until SIGTERM, then prints how much: a process of its own.

    python -m tests.e2e.writer HOST:PORT CHANGES_PER_SECOND SEED

Puts, deletes, transactions of several keys, values of up to 64 KiB, leases granted, attached, revoked and left to
run out; on keys of its own and on keys of Kubernetes. It ends by itself after five minutes.
"""

import contextlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from types import FrameType

import grpc
from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb

LONGEST_SECONDS = 300
OWN_KEYS = 400


class Writer:
    def __init__(self, endpoint: str, seed: int) -> None:
        self.channel = grpc.insecure_channel(endpoint)
        self.random = Random(seed)
        self.done: Counter[str] = Counter()
        self.leases: list[int] = []
        everything = pb.RangeRequest(key=b"/registry/pods/", range_end=b"/registry/pods0", keys_only=True, limit=500)
        self.pods = [kv.key for kv in self.call("KV/Range", everything, pb.RangeResponse).kvs]

    def call(self, method: str, request: Message, reply: type[Message]) -> Message:
        stub = self.channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        return stub(request, timeout=120)

    def key(self) -> bytes:
        if self.pods and self.random.random() < 0.3:
            return self.random.choice(self.pods)
        return b"/registry/load/%04d" % self.random.randrange(OWN_KEYS)

    def value(self) -> bytes:
        size = 65_536 if self.random.random() < 0.01 else self.random.randrange(600)
        return self.random.randbytes(size)

    def put(self) -> None:
        lease = self.random.choice(self.leases) if self.leases and self.random.random() < 0.2 else 0
        self.call("KV/Put", pb.PutRequest(key=self.key(), value=self.value(), lease=lease), pb.PutResponse)

    def delete(self) -> None:
        self.call("KV/DeleteRange", pb.DeleteRangeRequest(key=self.key()), pb.DeleteRangeResponse)

    def delete_many(self) -> None:
        start = self.random.randrange(OWN_KEYS)
        first, last = b"/registry/load/%04d" % start, b"/registry/load/%04d" % (start + 10)
        self.call("KV/DeleteRange", pb.DeleteRangeRequest(key=first, range_end=last), pb.DeleteRangeResponse)

    def transact(self) -> None:
        puts = {self.key(): self.value() for _ in range(5)}
        operations = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=value)) for key, value in puts.items()]
        gone = b"/registry/load/gone-%d" % self.random.randrange(9)
        operations.append(pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=gone)))
        self.call("KV/Txn", pb.TxnRequest(success=operations), pb.TxnResponse)

    def grant(self) -> None:
        request = pb.LeaseGrantRequest(TTL=self.random.choice([2, 3, 3600, 7200]))
        self.leases = [*self.leases[-50:], self.call("Lease/LeaseGrant", request, pb.LeaseGrantResponse).ID]

    def revoke(self) -> None:
        if self.leases:
            lease = self.leases.pop(self.random.randrange(len(self.leases)))
            self.call("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=lease), pb.LeaseRevokeResponse)

    def change(self) -> None:
        actions: list[tuple[Callable[[], None], int]] = [
            *((self.put, 60), (self.delete, 12), (self.delete_many, 2)),
            *((self.transact, 10), (self.grant, 10), (self.revoke, 6)),
        ]
        action = self.random.choices([action for action, _ in actions], [weight for _, weight in actions])[0]
        try:
            action()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:  # a lease that has run out
                raise
            self.leases = []
        else:
            self.done[action.__name__] += 1


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(endpoint: str, rate: int, seed: int) -> None:
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    writer = Writer(endpoint, seed)
    began = time.monotonic()
    say("writing")
    while not stopped and time.monotonic() - began < LONGEST_SECONDS:
        writer.change()
        ahead = began + writer.done.total() / rate - time.monotonic()
        if ahead > 0:
            with contextlib.suppress(InterruptedError):
                time.sleep(ahead)
    seconds = time.monotonic() - began
    say(json.dumps({"changes": writer.done.total(), "seconds": seconds, **writer.done}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
