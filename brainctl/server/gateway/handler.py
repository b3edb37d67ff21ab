"""The JSON gateway: the RPCs of the API as HTTP requests under /v3/.

Every body is bounded by the connection that brings it. The common name of a client certificate is not handed on: over
the gateway only a token says who somebody is (CVE-2018-16886).
"""

import asyncio
from typing import Final

from brainctl.errors import ApiError, BrainctlError, Code, Status
from brainctl.server.call_stats import Calls, Method
from brainctl.server.gateway.access import GatewayAccess
from brainctl.server.gateway.json_codec import decode, encode, encode_error
from brainctl.server.gateway.large_answers import LargeAnswers
from brainctl.server.gateway.routes import ROUTES, Route
from brainctl.server.http2.stream_writer import Stream
from brainctl.server.http2.streams import STREAMS
from brainctl.server.http_request import Call, Exchange, HttpRequest, HttpResponse
from brainctl.server.node_protocol import Node
from brainctl.server.status import status_of
from brainctl.wire.grpc import too_large

PREFIX: Final = "/v3/"
_OLD_PREFIX: Final = "/v3beta/"
LARGE_BYTES: Final = 64 * 1024
"""Bytes: answers larger than this are made JSON on a thread, while other requests are served."""
_JSON: Final = "application/json"
_NOT_FOUND: Final = Status(Code.NOT_FOUND, "Not Found")
_NOT_POST: Final = Status(Code.UNIMPLEMENTED, "Method Not Allowed")
_CORS: Final = (
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "accept, content-type, authorization"),
    ("Vary", "Origin"),
)
_TOKENS: Final = ("grpc-metadata-token", "grpc-metadata-authorization", "authorization")
"""Fields that may carry a token; those that begin with grpc-metadata- become metadata of gRPC without it."""
_Fields = tuple[tuple[str, str], ...]


def is_gateway(target: str) -> bool:
    """Return whether the gateway is to answer a request with this target."""
    return target.startswith((PREFIX, _OLD_PREFIX))


class Gateway:
    """The gateway to one node."""

    def __init__(self, node: Node, calls: Calls, access: GatewayAccess | None, message_bytes: int) -> None:
        """Create the gateway.

        Args:
            node: the node that serves the calls.
            calls: where calls are counted.
            access: who may use the gateway; None for the default.
            message_bytes: the largest request in bytes, as a gRPC message.
        """
        self._node = node
        self._calls = calls
        self._access = access or GatewayAccess()
        self._message_bytes = message_bytes

    def serve(self, request: HttpRequest, exchange: Exchange) -> Call | None:
        """Answer a request, now or later.

        Returns:
            The work that goes on meanwhile, if there is something to stop when the client goes away.
        """
        refusal = self._access.refusal(request.fields, secure=request.secure)
        if refusal is not None:
            status, text = refusal
            exchange.respond(HttpResponse(status, "text/plain; charset=utf-8", f"{text}\n".encode()))
            return None
        origin = self._access.allowed_origin(request.fields)
        cors = (("Access-Control-Allow-Origin", origin), *_CORS) if origin else ()
        if request.method == "OPTIONS":
            exchange.respond(HttpResponse(200, "text/plain; charset=utf-8", b"", cors))
            return None
        route = ROUTES.get(request.target.partition("?")[0].replace(_OLD_PREFIX, PREFIX, 1))
        if route is None or request.method != "POST":
            exchange.respond(_error_response(_NOT_FOUND if route is None else _NOT_POST, cors))
            return None
        self._node.stages.heard()
        try:
            return self._call(route, request, exchange, cors)
        finally:
            self._node.stages.served()

    def _call(self, route: Route, request: HttpRequest, exchange: Exchange, cors: _Fields) -> Call | None:
        try:
            bodies = self._bodies(route, request.body)
        except ApiError as error:
            exchange.respond(_error_response(error, cors))
            return None
        token = next(filter(None, map(request.fields.get, _TOKENS)), None)
        method = self._calls.of(route.method)
        method.started += 1
        answering = _Answering(exchange, route, method, cors, self._calls.large_answers)
        if route.method in STREAMS:
            return self._stream(answering, bodies, token)
        self._node.call(route.method, bodies[0], answering.reply, token, None)
        return None

    def _bodies(self, route: Route, body: bytes) -> list[bytes]:
        """Return the requests in a body as gRPC has them.

        Raises:
            ApiError: one cannot be read, or is too large.
        """
        messages = decode(route.request, body, many=route.many_requests)
        bodies = [message.SerializeToString() for message in messages]
        largest = max(map(len, bodies), default=0)
        if largest > self._message_bytes:
            raise too_large(largest, self._message_bytes)
        return bodies

    def _stream(self, answering: "_Answering", bodies: list[bytes], token: str | None) -> Call:
        outlet = (_ManyOutlet if answering.route.many_responses else _OneOutlet)(answering)
        stream = STREAMS[answering.route.method](self._node, outlet, token, None)
        try:
            for body in bodies:
                stream.message(body)
            stream.half_close()
        except BrainctlError as error:
            outlet.fail(status_of(error))
        return _Counted(stream, answering)


class _Answering:
    """One call and its answer."""

    def __init__(self, exchange: Exchange, route: Route, method: Method, cors: _Fields, large: LargeAnswers) -> None:
        self._large = large
        self.exchange = exchange
        self.route = route
        self._method = method
        self._cors = cors
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        """Task that makes a large answer."""

    def response(self, body: bytes) -> HttpResponse:
        """Return the response, or what a streamed one begins with."""
        return HttpResponse(200, _JSON, body, self._cors)

    def encode(self, body: bytes) -> bytes:
        """Return the JSON of a marshalled response."""
        return encode(self.route.response.FromString(body))

    def reply(self, answer: bytes | BrainctlError) -> None:
        """Answer with one response, or with an error."""
        if isinstance(answer, BrainctlError):
            self.fail(status_of(answer))
            return
        if len(answer) > LARGE_BYTES:
            self._task = asyncio.get_running_loop().create_task(self._respond_large(answer))
        else:
            self.end(Code.OK)
            self.exchange.respond(self.response(self.encode(answer)))

    async def _respond_large(self, answer: bytes) -> None:
        try:
            body = await self._large.encode(self.encode, answer)
        except ApiError as error:
            self.fail(error.status)
        else:
            self.end(Code.OK)
            self.exchange.respond(self.response(body))

    def fail(self, status: Status) -> None:
        """Answer with an error."""
        self.end(status.code)
        self.exchange.respond(_error_response(status, self._cors))

    def end(self, code: Code) -> None:
        """Count the end of the call with this code; only the first time counts."""
        if not self._ended:
            self._ended = True
            self._method.ended(code)


def _error_response(error: BrainctlError | Status, cors: _Fields) -> HttpResponse:
    status, body = encode_error(error)
    return HttpResponse(status, _JSON, body, cors)


class _OneOutlet:
    """The answer of a unary RPC that the node serves as a stream, because it may take long."""

    def __init__(self, answering: _Answering) -> None:
        self.send = answering.reply
        self.fail = answering.fail

    def finish(self) -> None:
        """Do nothing: the message was the whole answer."""


class _ManyOutlet:
    """The answers of a streaming RPC: a line of {"result": ...} for each, and {"error": ...} at the end if need be."""

    def __init__(self, answering: _Answering) -> None:
        self._answering = answering
        self._exchange = answering.exchange
        self._begun = False

    def send(self, body: bytes) -> None:
        """Send a line."""
        line = b'{"result":' + self._answering.encode(body) + b"}\n"
        if self._begun:
            self._exchange.send(line)
        else:
            self._begun = True
            self._exchange.begin(self._answering.response(line))

    def finish(self) -> None:
        """End."""
        self._answering.end(Code.OK)
        if self._begun:
            self._exchange.end()
        else:
            self._exchange.respond(self._answering.response(b""))

    def fail(self, status: Status) -> None:
        """End with an error."""
        self._answering.end(status.code)
        http_status, error = encode_error(status)
        line = b'{"error":' + error + b"}\n"
        if self._begun:
            self._exchange.send(line)
            self._exchange.end()
        else:
            self._exchange.respond(self._answering.response(line)._replace(status=http_status))


class _Counted:
    """A stream that is counted as given up when it is closed before it ended."""

    def __init__(self, stream: Stream, answering: _Answering) -> None:
        self.pause = stream.pause
        self.resume = stream.resume
        self._stream = stream
        self._answering = answering

    def close(self) -> None:
        """Close the stream: the client has gone away, or everything is answered."""
        self._answering.end(Code.CANCELLED)
        self._stream.close()
