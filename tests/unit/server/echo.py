"""A node that keeps nothing: it answers every call with the request, and streams what it is asked for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

from brainctl.clock import ManualClock
from brainctl.errors import COMPACTED, ApiError, BrainctlError, UnknownOutcome
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.local.write_stages import Stages
from brainctl.node.metrics import NodeMetrics
from brainctl.server.node_protocol import Replies, Reply

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
LATE = "/etcdserverpb.KV/Late"
NEVER = "/etcdserverpb.KV/Never"
LARGE = "/etcdserverpb.KV/Large"
COMPACT = "/etcdserverpb.KV/Compact"
UNKNOWN_OUTCOME = "/etcdserverpb.KV/UnknownOutcome"
BROKEN = "/etcdserverpb.KV/Broken"
WATCH = "/etcdserverpb.Watch/Watch"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"


class EchoSession:
    """Answers every message with itself; b"events N SIZE" with N messages of SIZE bytes, as fast as it may."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._left = 0
        self._size = 0
        self._paused = False
        self.pauses = 0
        self.closed = False

    def receive(self, body: bytes) -> None:
        if body.startswith(b"events "):
            _, count, size = body.split()
            self._left, self._size = int(count), int(size)
            self._go_on()
        elif body == b"fail":
            raise ApiError(COMPACTED)
        else:
            self._send(body)

    def pause(self) -> None:
        self.pauses += not self._paused
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._go_on()

    def close(self) -> None:
        self.closed = True

    def _go_on(self) -> None:
        while self._left and not self._paused:
            self._left -= 1
            self._send(bytes(self._size))


class EchoNode:
    """See the paths above; what is not named is echoed."""

    def __init__(self) -> None:
        self.sessions: list[EchoSession] = []
        self.held: list[Reply] = []
        self.stages = Stages(ManualClock())
        self.snapshots = 0
        self.credentials: list[tuple[str | None, str | None]] = []

    process_token = ""
    has_leader = True
    scrubber = None

    def tell_wear(self, reply: Callable[[dict[str, object] | BrainctlError], None]) -> None:
        reply({})

    def figures(self) -> NodeMetrics:
        return NodeMetrics()

    def call(
        self, method: str, body: bytes, reply: Reply, token: str | None = None, common_name: str | None = None
    ) -> None:
        self.credentials.append((token, common_name))
        if method == LATE:
            asyncio.get_running_loop().call_soon(reply, body)
        elif method == NEVER:
            self.held.append(reply)
        elif method == LARGE:
            reply(bytes(int(body)))
        elif method == COMPACT:
            reply(ApiError(COMPACTED))
        elif method == UNKNOWN_OUTCOME:
            reply(UnknownOutcome("the change may or may not have happened"))
        elif method == BROKEN:
            raise ZeroDivisionError
        elif method.startswith("/etcdserverpb.Maintenance/Status"):
            reply(pb.StatusResponse(version="3.7.0", storageVersion="3.7.0", dbSize=5).SerializeToString())
        elif method.startswith("/etcdserverpb.Maintenance/"):
            reply(b"")
        else:
            reply(body)

    def watch(
        self, send: Callable[[bytes], None], token: str | None = None, common_name: str | None = None
    ) -> EchoSession:
        del token, common_name
        session = EchoSession(send)
        self.sessions.append(session)
        return session

    def puts(
        self, bodies: list[bytes], replies: Replies, token: str | None = None, common_name: str | None = None
    ) -> None:
        for place, body in enumerate(bodies):
            self.call(PUT, body, partial(replies.one, place), token, common_name)

    def keep_alive(self, body: bytes, reply: Reply, token: str | None = None, common_name: str | None = None) -> None:
        del token, common_name
        answer: bytes | BrainctlError = ApiError(COMPACTED) if body == b"fail" else body
        asyncio.get_running_loop().call_soon(reply, answer)

    async def stream(
        self, method: str, body: bytes, token: str | None = None, common_name: str | None = None
    ) -> AsyncIterator[bytes]:
        del body, token, common_name
        assert method == SNAPSHOT
        for number in range(64):
            self.snapshots = number + 1
            yield bytes(256 * 1024)
            await asyncio.sleep(0)
