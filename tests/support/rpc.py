"""One way to call a server, for suites that are proved on a real etcd: a node in process, or anything behind gRPC."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from brainctl.clock import ManualClock
from brainctl.errors import ApiError, BrainctlError, Code
from brainctl.etcdpb import rpc_pb2, v3election_pb2, v3lock_pb2
from brainctl.node.access.passwords import Passwords
from brainctl.node.node import Node
from tests.support.memory import MemoryBackend

SECONDS = 120.0
"""No answer takes longer; a call that does has failed."""
RECONNECT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500))
"""Options of a channel to a server that goes and comes back."""
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in (rpc_pb2, v3lock_pb2, v3election_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""The whole API, by path."""


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


class Api(Protocol):
    """A server under test."""

    def call(self, path: str, request: Message, token: str | None = None) -> Any:
        """A unary call; Refused."""

    def stream(self, path: str, requests: Iterable[Message], take: int, token: str | None = None) -> list[Any]:
        """Open a stream, send the requests, take that many responses or all there are, cancel; Refused."""

    def start(self, path: str, request: Message, token: str | None = None) -> "Pending":
        """Begin a unary call, or one with a stream of responses."""


class Pending(Protocol):
    """A call in progress."""

    def next(self) -> Any:
        """Its next (or only) response; Refused."""

    def cancel(self) -> None:
        """Let go of it, as a client that goes away does."""


class Remote:
    """A server behind gRPC."""

    def __init__(
        self,
        endpoint: str,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._channel = (
            grpc.secure_channel(endpoint, credentials, options)
            if credentials
            else grpc.insecure_channel(endpoint, options)
        )

    def call(self, path: str, request: Message, token: str | None = None) -> Any:
        return _guarded(lambda: self._method(path)(request, timeout=SECONDS, metadata=_metadata(token)))

    def stream(self, path: str, requests: Iterable[Message], take: int, token: str | None = None) -> list[Any]:
        done = threading.Event()

        def sent() -> Iterator[Message]:
            yield from requests
            done.wait(SECONDS)  # the client's half stays open

        argument = sent() if METHODS[path].client_streaming else next(iter(requests))
        opened = self._method(path)(argument, timeout=SECONDS, metadata=_metadata(token))
        try:
            return _guarded(lambda: list(islice(opened, take)))
        finally:
            done.set()
            opened.cancel()

    def start(self, path: str, request: Message, token: str | None = None) -> Pending:
        method = self._method(path)
        if METHODS[path].server_streaming:
            opened = method(request, timeout=SECONDS, metadata=_metadata(token))
            return _RemotePending(opened.__next__, opened.cancel)
        call = method.future(request, timeout=SECONDS, metadata=_metadata(token))
        return _RemotePending(call.result, call.cancel)

    def close(self) -> None:
        self._channel.close()

    def _method(self, path: str) -> Any:
        method = METHODS[path]
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        return getattr(self._channel, kind)(path, _marshal, _response_of(method).FromString)


class _RemotePending:
    def __init__(self, take: Callable[[], Any], cancel: Callable[[], object]) -> None:
        self._take = take
        self._cancel = cancel

    def next(self) -> Any:
        return _guarded(self._take)

    def cancel(self) -> None:
        self._cancel()


def _guarded(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except grpc.RpcError as error:
        raise Refused(Code(error.code().value[0]), error.details() or "") from error


def _marshal(message: Message) -> bytes:
    return message.SerializeToString()


def _response_of(method: MethodDescriptor) -> Any:
    return GetMessageClass(method.output_type)


def _metadata(token: str | None) -> list[tuple[str, str]]:
    return [("token", token)] if token is not None else []


class LoopBackend(MemoryBackend):
    """A memory backend on a real event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        if seconds == 0:
            self.loop.call_soon(action)
        else:
            self.timers.append((seconds, action))


class InProcess:
    """A node in this process; its clock moves only when told to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.backend = LoopBackend(self.loop)
        self.node = Node(self.backend, self.clock, passwords=Passwords(cost=4))

    def call(self, path: str, request: Message, token: str | None = None, common_name: str | None = None) -> Any:
        answer: asyncio.Future[bytes | BrainctlError] = self.loop.create_future()
        self.node.call(path, request.SerializeToString(), answer.set_result, token, common_name)
        return self._response(path, self.loop.run_until_complete(asyncio.wait_for(answer, SECONDS)))

    def stream(self, path: str, requests: Iterable[Message], take: int, token: str | None = None) -> list[Any]:
        return self.loop.run_until_complete(asyncio.wait_for(self._stream(path, requests, take, token), SECONDS))

    async def _stream(self, path: str, requests: Iterable[Message], take: int, token: str | None) -> list[Any]:
        answers: asyncio.Queue[bytes | BrainctlError] = asyncio.Queue()
        if path.endswith("/Watch"):
            session = self.node.watch(answers.put_nowait, token)
            for request in requests:
                session.receive(request.SerializeToString())
            found = [self._response(path, await answers.get()) for _ in range(take)]
            session.close()
            return found
        if path.endswith("/LeaseKeepAlive"):
            for request in requests:
                self.node.keep_alive(request.SerializeToString(), answers.put_nowait, token)
            return [self._response(path, await answers.get()) for _ in range(take)]
        responses = []
        async with aclosing(self._opened(path, next(iter(requests)), token)) as bodies:
            async for body in bodies:
                responses.append(self._response(path, body))
                if len(responses) == take:
                    break
        return responses

    async def _opened(
        self, path: str, request: Message, token: str | None
    ) -> AsyncGenerator[bytes | BrainctlError, None]:
        try:
            bodies = (
                self.node.snapshot(token)
                if path.endswith("/Snapshot")
                else self.node.stream(path, request.SerializeToString(), token)
            )
            async with aclosing(bodies) as opened:
                async for body in opened:
                    yield body
        except BrainctlError as error:
            yield error

    def _response(self, path: str, answer: bytes | BrainctlError) -> Any:
        if isinstance(answer, ApiError):
            raise Refused(*answer.status)
        assert isinstance(answer, bytes), answer
        return _response_of(METHODS[path]).FromString(answer)

    def start(self, path: str, request: Message, token: str | None = None) -> Pending:
        return _LocalPending(self, path, self._opened(path, request, token))

    def close(self) -> None:
        self.loop.run_until_complete(self._end())
        self.loop.close()

    async def _end(self) -> None:
        for task in self.backend.tasks:
            task.cancel()
        await asyncio.gather(*self.backend.tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()


class _LocalPending:
    def __init__(self, api: InProcess, path: str, answers: AsyncGenerator[bytes | BrainctlError, None]) -> None:
        self._api = api
        self._path = path
        self._queue: asyncio.Queue[bytes | BrainctlError] = asyncio.Queue()
        self._task = api.loop.create_task(self._run(answers))
        api.loop.run_until_complete(asyncio.sleep(0))

    async def _run(self, answers: AsyncGenerator[bytes | BrainctlError, None]) -> None:
        async with aclosing(answers):
            async for answer in answers:
                self._queue.put_nowait(answer)

    def next(self) -> Any:
        answer = self._api.loop.run_until_complete(asyncio.wait_for(self._queue.get(), SECONDS))
        return self._api._response(self._path, answer)

    def cancel(self) -> None:
        self._task.cancel()
        self._api.loop.run_until_complete(asyncio.gather(self._task, return_exceptions=True))
