"""The JSON gateway: the RPCs of the API as HTTP requests under /v3/.

Every body is bounded by the connection that brings it. The common name of a client certificate is not handed on: over
the gateway only a token says who somebody is (CVE-2018-16886).
"""

from functools import partial
from typing import Final

from google.protobuf.message import Message

from brainctl.errors import ApiError, BrainctlError, Code, Status
from brainctl.server.exchange import Call, Exchange, HttpRequest, Page
from brainctl.server.gateway_access import GatewayAccess
from brainctl.server.gateway_json import decode, encode, encode_error
from brainctl.server.gateway_routes import ROUTES, Route
from brainctl.server.node import Node
from brainctl.server.outlet import Stream
from brainctl.server.status import status_of
from brainctl.server.streams import STREAMS

PREFIX: Final = "/v3/"
_OLD_PREFIX: Final = "/v3beta/"
_JSON: Final = "application/json"
_NOT_FOUND: Final = Status(Code.NOT_FOUND, "Not Found")
_NOT_POST: Final = Status(Code.UNIMPLEMENTED, "Method Not Allowed")
_CORS: Final = (
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "accept, content-type, authorization"),
    ("Vary", "Origin"),
)
_Fields = tuple[tuple[str, str], ...]


def is_gateway(target: str) -> bool:
    """Whether a request with this target is the gateway's to answer."""
    return target.startswith((PREFIX, _OLD_PREFIX))


class Gateway:
    """The gateway to one node."""

    def __init__(self, node: Node, access: GatewayAccess | None = None) -> None:
        self._node = node
        self._access = access or GatewayAccess()

    def serve(self, request: HttpRequest, exchange: Exchange) -> Call | None:
        """Answer a request, now or later; what goes on meanwhile when there is something to stop."""
        refusal = self._access.refusal(request.fields, secure=request.secure)
        if refusal is not None:
            status, text = refusal
            exchange.respond(Page(status, "text/plain; charset=utf-8", f"{text}\n".encode()))
            return None
        origin = self._access.allowed_origin(request.fields)
        cors = (("Access-Control-Allow-Origin", origin), *_CORS) if origin else ()
        if request.method == "OPTIONS":
            exchange.respond(Page(200, "text/plain; charset=utf-8", b"", cors))
            return None
        route = ROUTES.get(request.target.partition("?")[0].replace(_OLD_PREFIX, PREFIX, 1))
        if route is None or request.method != "POST":
            exchange.respond(_error_page(_NOT_FOUND if route is None else _NOT_POST, cors))
            return None
        try:
            messages = decode(route.request, request.body, many=route.many_requests)
        except ApiError as error:
            exchange.respond(_error_page(error, cors))
            return None
        token = request.fields.get("grpc-metadata-token") or request.fields.get("authorization")
        if route.method in STREAMS:
            return self._stream(route, messages, token, exchange, cors)
        reply = partial(_reply, exchange, route, cors)
        self._node.call(route.method, messages[0].SerializeToString(), reply, token, None)
        return None

    def _stream(
        self, route: Route, messages: list[Message], token: str | None, exchange: Exchange, cors: _Fields
    ) -> Call | None:
        outlet = (_ManyOutlet if route.many_responses else _OneOutlet)(exchange, route, cors)
        stream: Stream = STREAMS[route.method](self._node, outlet, token, None)
        try:
            for message in messages:
                stream.message(message.SerializeToString())
            stream.half_close()
        except BrainctlError as error:
            outlet.fail(status_of(error))
        return stream


def _reply(exchange: Exchange, route: Route, cors: _Fields, answer: bytes | BrainctlError) -> None:
    if isinstance(answer, bytes):
        exchange.respond(Page(200, _JSON, encode(route.response.FromString(answer)), cors))
    else:
        exchange.respond(_error_page(answer, cors))


def _error_page(error: BrainctlError | Status, cors: _Fields) -> Page:
    status, body = encode_error(error)
    return Page(status, _JSON, body, cors)


class _OneOutlet:
    """The answer of a unary RPC that the node serves as a stream, because it may take long."""

    def __init__(self, exchange: Exchange, route: Route, cors: _Fields) -> None:
        self._exchange = exchange
        self._route = route
        self._cors = cors

    def send(self, body: bytes) -> None:
        """It is the whole answer."""
        _reply(self._exchange, self._route, self._cors, body)

    def finish(self) -> None:
        """Nothing: the message was it."""

    def fail(self, status: Status) -> None:
        """The error is the answer."""
        self._exchange.respond(_error_page(status, self._cors))


class _ManyOutlet:
    """The answers of a streaming RPC: a line of {"result": ...} for each, and {"error": ...} at the end if need be."""

    def __init__(self, exchange: Exchange, route: Route, cors: _Fields) -> None:
        self._exchange = exchange
        self._response = route.response
        self._cors = cors
        self._begun = False

    def send(self, body: bytes) -> None:
        """Send a line."""
        line = b'{"result":' + encode(self._response.FromString(body)) + b"}\n"
        if self._begun:
            self._exchange.send(line)
        else:
            self._begun = True
            self._exchange.begin(Page(200, _JSON, line, self._cors))

    def finish(self) -> None:
        """End."""
        if self._begun:
            self._exchange.end()
        else:
            self._exchange.respond(Page(200, _JSON, b"", self._cors))

    def fail(self, status: Status) -> None:
        """End with an error."""
        http_status, error = encode_error(status)
        line = b'{"error":' + error + b"}\n"
        if self._begun:
            self._exchange.send(line)
            self._exchange.end()
        else:
            self._exchange.respond(Page(http_status, _JSON, line, self._cors))
