"""Call methods of gRPC servers, over one connection to each address. No other module of the client knows grpc.

A connection that goes silent is given up: the next call to that address makes another one, and what is under way on
the old one may still end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import grpc
import grpc.aio

from brainctl.errors import InvalidInput
from brainctl.tikv.client import limits
from brainctl.tikv.client.seam import Security


class Marshalled(Protocol):
    """A protobuf message."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - its name in protobuf
        """Return its form on the wire."""


Answer = TypeVar("Answer")
Request = TypeVar("Request", bound=Marshalled)

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
)
_NOT_SENT = "failed to connect to all addresses"
"""The beginning of gRPC's text when it had no connection, so that nothing was sent."""


class NoAnswer(Exception):
    """A server did not answer a call."""

    def __init__(self, text: str, *, sent: bool, late: bool = False) -> None:
        """Create the error.

        Args:
            text: what gRPC says.
            sent: whether the server may have got the request.
            late: whether the time ran out, rather than the connection being refused or lost.
        """
        super().__init__(text)
        self.sent = sent
        self.late = late


class Method(Generic[Request, Answer]):
    """A method of a gRPC service."""

    def __init__(self, path: str, parse: Callable[[bytes], Answer]) -> None:
        """Create the method with the path of HTTP/2 and what reads its answers."""
        self.path = path
        self.parse = parse


class Stream(Protocol):
    """A call with many requests and answers."""

    async def ask(self, request: Marshalled) -> bytes:
        """Send a request, and return the next marshalled answer.

        Raises:
            NoAnswer: the stream has ended.
        """

    def cancel(self) -> None:
        """End the stream."""


class Channels:
    """The connections of one client, by address."""

    def __init__(self, security: Security) -> None:
        """Create the connections, of which none is made yet.

        Raises:
            InvalidInput: a file for TLS cannot be read.
        """
        self._credentials = _credentials(security) if any(security) else None
        self._connections: dict[str, _Connection] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def call(self, address: str, method: Method[Request, Answer], request: Request, seconds: float) -> Answer:
        """Make a call, and return its answer.

        Raises:
            NoAnswer: none came within that time.
        """
        connection = self._to(address)
        try:
            return await connection.method(method)(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._give_up(address, connection)
            raise _no_answer(error) from None
        except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            # The connection was closed by `close` or `renew` in between.
            raise NoAnswer(str(error), sent=True) from None
        except asyncio.CancelledError:
            _not_by_caller()
            raise

    def stream(self, address: str, path: str) -> Stream:
        """Begin a call with many requests and answers."""
        return _Stream(self._to(address).channel, path)

    def give_up(self, address: str) -> None:
        """Make a new connection for the next call to an address."""
        if (connection := self._connections.get(address)) is not None:
            self._give_up(address, connection)

    def renew(self) -> None:
        """Make new connections for all later calls."""
        for address in list(self._connections):
            self.give_up(address)

    async def close(self) -> None:
        """Close all connections; calls under way end with NoAnswer."""
        connections, self._connections = self._connections, {}
        closing = list(self._closing)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        await asyncio.gather(*(connection.channel.close(None) for connection in connections.values()))

    def _to(self, address: str) -> "_Connection":
        connection = self._connections.get(address)
        if connection is None:
            connection = self._connections[address] = _Connection(address, self._credentials)
        return connection

    def _give_up(self, address: str, connection: "_Connection") -> None:
        if self._connections.get(address) is connection:
            del self._connections[address]
            task = asyncio.ensure_future(_close(connection.channel))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class _Connection:
    """A channel to one address, and its methods that were called."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.channel = (
            grpc.aio.insecure_channel(address, options=_OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        )
        self._methods: dict[str, Callable[..., Awaitable[object]]] = {}

    def method(self, method: Method[Request, Answer]) -> Callable[..., Awaitable[Answer]]:
        """Return what calls a method."""
        call = self._methods.get(method.path)
        if call is None:
            call = self._methods[method.path] = self.channel.unary_unary(method.path, _marshal, method.parse)
        return call  # type: ignore[return-value] # the dictionary has methods of all types


class _Stream:
    """A `Stream` of gRPC."""

    def __init__(self, channel: grpc.aio.Channel, path: str) -> None:
        self._call = channel.stream_stream(path, _marshal, None)(None)

    async def ask(self, request: Marshalled) -> bytes:
        """See `Stream`."""
        try:
            await self._call.write(request)
            answer = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _no_answer(error) from None
        except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise NoAnswer(str(error), sent=True) from None
        except asyncio.CancelledError:
            _not_by_caller()
            raise
        if not isinstance(answer, bytes):
            raise NoAnswer("the stream has ended", sent=True)
        return answer

    def cancel(self) -> None:
        """See `Stream`."""
        self._call.cancel()


async def _close(channel: grpc.aio.Channel) -> None:
    """Close a channel once the calls that are under way have had time to end."""
    try:
        await channel.close(grace=limits.PATIENCE)
    except asyncio.CancelledError:
        await channel.close(None)
        raise


def _not_by_caller() -> None:
    """Check that the task which makes a call is being cancelled itself: gRPC raises the same where the call was.

    Raises:
        NoAnswer: its connection was closed.
    """
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        raise NoAnswer("the connection was closed", sent=True) from None


def _marshal(request: Marshalled) -> bytes:
    return request.SerializeToString()


def _no_answer(error: grpc.aio.AioRpcError) -> NoAnswer:
    details = error.details() or ""
    never = error.code() is grpc.StatusCode.UNAVAILABLE and details.startswith(_NOT_SENT)
    late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return NoAnswer(f"{error.code().name}: {details}", sent=not never, late=late)


def _credentials(security: Security) -> grpc.ChannelCredentials:
    if bool(security.cert) != bool(security.key):
        raise InvalidInput("a certificate for TiKV needs its key, and a key its certificate: give both cert and key")
    return grpc.ssl_channel_credentials(*(_read(name) for name in (security.cacert, security.key, security.cert)))


def _read(name: str) -> bytes | None:
    try:
        return Path(name).read_bytes() if name else None
    except OSError as error:
        raise InvalidInput(f"cannot read {name}, which is to secure the connection to TiKV: {error.strerror}") from None
