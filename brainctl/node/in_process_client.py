"""A client of a node inside its own process, with the rights of a caller.

The Lock and Election services are made of other services (KV, Lease, Watch), as in etcd; this is how they call them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from brainctl.errors import COMPACTED, ApiError, BrainctlError, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.prefix import prefix_end
from brainctl.node.backend import Reply
from brainctl.node.handler import MALFORMED

HELD_RESPONSES = 16
"""Number of responses that may wait for the reader of a watch before the watch is paused."""
_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)


class Session(Protocol):
    """One Watch stream of a node; see `WatchSession`."""

    def receive(self, body: bytes) -> None:
        """Serve a marshalled WatchRequest."""

    def pause(self) -> None:
        """Send no events until `resume`."""

    def resume(self) -> None:
        """Send events again."""

    def close(self) -> None:
        """End the stream."""


class Methods(Protocol):
    """The part of a node that a caller needs; see `Node`."""

    def call(self, method: str, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        """See `Node.call`."""

    def watch(self, send: Callable[[bytes], None], token: str | None, common_name: str | None) -> Session:
        """See `Node.watch`."""


class InProcessClient:
    """The access of one caller (token, common name) to a node.

    Errors of the API keep their text and lose their code (it becomes UNKNOWN), as they do in etcd, where these services
    are clients too.
    """

    def __init__(self, node: Methods, token: str | None, common_name: str | None) -> None:
        self._node = node
        self._who = (token, common_name)

    async def call(self, method: str, request: Message, kind: type[_Response]) -> _Response:
        """Call a unary method by its path and return its response.

        Raises:
            ApiError: The node answered with an error of the API; the code is UNKNOWN, the text is kept.
            BrainctlError: The node answered with another error.
        """
        answered: asyncio.Future[bytes | BrainctlError] = asyncio.get_running_loop().create_future()

        def settle(answer: bytes | BrainctlError) -> None:
            if not answered.done():
                answered.set_result(answer)

        self._node.call(method, request.SerializeToString(), settle, *self._who)
        answer = await answered
        if isinstance(answer, ApiError):
            raise unknown(answer.status.message) from answer
        if isinstance(answer, BrainctlError):
            raise answer
        return kind.FromString(answer)

    def post(self, method: str, request: Message) -> None:
        """Call a method without waiting for the answer; the node still serves it in order with the other calls."""
        self._node.call(method, request.SerializeToString(), lambda _: None, *self._who)

    async def events(self, create: pb.WatchCreateRequest) -> AsyncGenerator[pb.WatchResponse, None]:
        """Yield the responses of a watch that carry events; end when the watched revisions are compacted.

        Raises:
            ApiError: The watch was cancelled for another reason.
        """
        received: asyncio.Queue[bytes] = asyncio.Queue()

        def send(body: bytes) -> None:
            received.put_nowait(body)
            if received.qsize() == HELD_RESPONSES:
                session.pause()

        session = self._node.watch(send, *self._who)
        try:
            session.receive(pb.WatchRequest(create_request=create).SerializeToString())
            while True:
                response = pb.WatchResponse.FromString(await received.get())
                if received.empty():
                    session.resume()
                if response.compact_revision or response.cancel_reason == COMPACTED.message:
                    return
                if response.canceled:
                    raise unknown(response.cancel_reason)
                if response.events:
                    yield response
        finally:
            session.close()


def unknown(text: str) -> ApiError:
    """Return an error that has a text and no code of its own (UNKNOWN)."""
    return ApiError(Status(Code.UNKNOWN, text))


async def grant_session(caller: InProcessClient, lease: int) -> int:
    """Return `lease`, or when it is 0 a new lease that lives for 60 seconds unless the client keeps it alive."""
    if lease:
        return lease
    request = pb.LeaseGrantRequest(TTL=60)
    return (await caller.call("/etcdserverpb.Lease/LeaseGrant", request, pb.LeaseGrantResponse)).ID


async def await_turn(caller: InProcessClient, prefix: bytes, revision: int) -> None:
    """Wait until no key under `prefix` was created before `revision`.

    It watches only the next older key, not all of them, so that the release of a lock wakes one waiter.
    """
    older = pb.RangeRequest(
        key=prefix,
        range_end=prefix_end(prefix),
        limit=1,
        sort_order=pb.RangeRequest.DESCEND,
        sort_target=pb.RangeRequest.CREATE,
        max_create_revision=revision - 1,
    )
    while revision > 1:
        found = await caller.call("/etcdserverpb.KV/Range", older, pb.RangeResponse)
        if not found.kvs:
            return
        watch = pb.WatchCreateRequest(key=found.kvs[0].key, start_revision=found.header.revision + 1)
        async with aclosing(caller.events(watch)) as responses:
            async for response in responses:
                if any(event.type == event.DELETE for event in response.events):
                    break


def parse(kind: type[_Request], body: bytes) -> _Request:
    """Return the parsed request.

    Raises:
        ApiError: The bytes are no message of this kind.
    """
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise ApiError(MALFORMED) from error


Serve = Callable[[InProcessClient, bytes], AsyncIterator[bytes]]
"""Serves one method that may wait long: yields its marshalled responses, of which a unary method has one.

It raises BrainctlError, and is cancelled when its client goes away.
"""
