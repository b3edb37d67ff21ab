"""The HTTP handlers beside gRPC: /health, /livez, /readyz, /version, /metrics, with etcd's paths and JSON."""

from asyncio import get_running_loop
from collections.abc import Callable
from functools import partial
from html import escape
from typing import Final
from urllib.parse import parse_qs

import orjson
from google.protobuf.message import Message

from brainctl.errors import BrainctlError, TimedOut
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.server.call_stats import Calls
from brainctl.server.gateway.access import GatewayAccess
from brainctl.server.gateway.handler import Gateway, is_gateway
from brainctl.server.http_paths import clean_path
from brainctl.server.http_request import Call, Exchange, HttpRequest, HttpResponse
from brainctl.server.metrics import Metrics
from brainctl.server.node_protocol import Node
from brainctl.wire.limits import Limits

_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"

_DEBUG: Final = "/debug/"
SCRUB: Final = f"{_DEBUG}scrub"
"""Path that answers with the state of the scrubber; POST begins a pass."""
_MONITORING: Final = {"/metrics", "/health", "/livez", "/readyz"}
_STATUS: Final = "/etcdserverpb.Maintenance/Status"
_ALARM: Final = "/etcdserverpb.Maintenance/Alarm"
_RANGE: Final = "/etcdserverpb.KV/Range"
ANSWER_SECONDS = 3.0
"""Seconds for which a handler waits for the store: probes of Kubernetes give up after one second by default."""


Query = dict[str, list[str]]
Answer = Callable[[HttpResponse], None]
Check = Callable[[Callable[[str], None]], None]
"""Calls back with why the check fails, "" when it does not."""


class HttpHandlers:
    """The handlers of one node. Every answer comes through a callback, because a node may take its time."""

    def __init__(self, node: Node, access: GatewayAccess | None = None, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self._node = node
        self.calls = Calls(limits.clients_bytes)
        """Calls of all connections."""
        self._has_gateway = access is None or access.enabled
        self._gateway = Gateway(node, self.calls, access, limits.message_bytes)
        self._measured = Metrics(node, self.calls)
        self._token = node.process_token
        self._handlers: dict[str, Callable[[Query, Answer], None]] = {
            "/health": self._health,
            "/version": self._version,
            "/metrics": self._metrics,
            f"{_DEBUG}stages": self._stages,
            SCRUB: self._scrub,
            f"{_DEBUG}wear": self._wear,
        }
        read = self._check_read
        self._add_checks("/livez", {"serializable_read": read})
        self._add_checks(
            "/readyz",
            {
                "data_corruption": self._check_corruption,
                "serializable_read": read,
                "linearizable_read": read,
                "non_learner": lambda done: done(""),
            },
        )

    def serve(self, request: HttpRequest, exchange: Exchange) -> Call | None:
        """Answer a request, now or later; what goes on meanwhile when there is something to stop."""
        path, separator, query = request.target.partition("?")
        clean = clean_path(path)
        if clean != path:
            exchange.respond(_redirect(f"{clean}{separator}{query}", request.method))
            return None
        if self._has_gateway and is_gateway(path):
            return self._gateway.serve(request, exchange)
        handle = self._handlers.get(path)
        if handle is None:
            exchange.respond(HttpResponse(404, _TEXT, b"404 page not found\n"))
        elif path.startswith(_DEBUG) and not request.local:
            exchange.respond(HttpResponse(403, _TEXT, b"this page is for the machine of the server only\n"))
        elif request.method == "POST" and path == SCRUB:
            self._start_scrub(exchange.respond)
        elif request.method not in {"GET", "HEAD"}:
            exchange.respond(HttpResponse(405, _TEXT, b"Method Not Allowed\n"))
        else:
            handle(parse_qs(query, keep_blank_values=True), exchange.respond)
        return None

    # -- /health: alarms, then a read ---------------------------------------------------------------------------------

    def _health(self, query: Query, answer: Answer) -> None:
        excluded = set(query.get("exclude", ()))

        def say(reason: str) -> None:
            if reason:
                self.calls.unhealthy += 1
            else:
                self.calls.healthy += 1
            answer(_health_response(reason))

        def on_alarms(reply: bytes | BrainctlError) -> None:
            alarms = pb.AlarmResponse.FromString(reply).alarms if isinstance(reply, bytes) else ()
            names = [pb.AlarmType.Name(alarm.alarm) for alarm in alarms]
            raised = [name for name in names if name not in excluded]
            if raised:
                say(f"ALARM {raised[0]}")
            else:
                self._check_read(lambda reason: say(reason and f"RANGE ERROR:{reason}"))

        self._call(_ALARM, pb.AlarmRequest(), on_alarms)

    # -- /livez and /readyz: named checks -----------------------------------------------------------------------------

    def _add_checks(self, path: str, checks: dict[str, Check]) -> None:
        self._handlers[path] = partial(self._run_checks, checks)
        for name, check in checks.items():
            self._handlers[f"{path}/{name}"] = partial(self._run_checks, {name: check})

    def _run_checks(self, checks: dict[str, Check], query: Query, answer: Answer) -> None:
        excluded = set(query.get("exclude", ()))
        waiting = [name for name in checks if name not in excluded]
        reasons: dict[str, str] = {}

        def add_result(name: str, reason: str) -> None:
            reasons[name] = reason
            if len(reasons) == len(waiting):
                tell()

        def tell() -> None:
            lines = [f"[-]{name} failed: {reasons[name]}\n" if reasons[name] else f"[+]{name} ok\n" for name in waiting]
            text = "".join(lines)
            if any(reasons.values()):
                answer(HttpResponse(503, _TEXT, text.encode() + b"\n"))
            else:
                answer(HttpResponse(200, _TEXT, (text if "verbose" in query else "").encode() + b"ok\n"))

        if not waiting:
            tell()
        for name in waiting:  # at the same time, so that a store that is silent costs its time limit once
            checks[name](partial(add_result, name))

    def _check_read(self, done: Callable[[str], None]) -> None:
        request = pb.RangeRequest(key=b"health", limit=1, keys_only=True)
        self._call(_RANGE, request, lambda reply: done(str(reply) if isinstance(reply, BrainctlError) else ""))

    def _call(self, method: str, request: Message, done: Callable[[bytes | BrainctlError], None]) -> None:
        """Make a call whose reply goes to `done`, once: an error if the node takes longer than ANSWER_SECONDS."""
        waiting = True

        def once(reply: bytes | BrainctlError) -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                timer.cancel()
                done(reply)

        silent = TimedOut(f"the store has not answered within {ANSWER_SECONDS:g} s")
        timer = get_running_loop().call_later(ANSWER_SECONDS, once, silent)
        self._node.call(method, request.SerializeToString(), once, self._token, None)

    def _check_corruption(self, done: Callable[[str], None]) -> None:
        def on_alarms(reply: bytes | BrainctlError) -> None:
            if isinstance(reply, BrainctlError):
                done(str(reply))
                return
            alarms = pb.AlarmResponse.FromString(reply).alarms
            done("alarm activated: CORRUPT" if any(alarm.alarm == pb.CORRUPT for alarm in alarms) else "")

        self._call(_ALARM, pb.AlarmRequest(), on_alarms)

    # -- /version and /metrics ----------------------------------------------------------------------------------------

    def _status(self, answer: Answer, render: Callable[[pb.StatusResponse], HttpResponse]) -> None:
        def on_status(reply: bytes | BrainctlError) -> None:
            if isinstance(reply, BrainctlError):
                answer(HttpResponse(503, _TEXT, f"{reply}\n".encode()))
            else:
                answer(render(pb.StatusResponse.FromString(reply)))

        self._call(_STATUS, pb.StatusRequest(), on_status)

    def _version(self, _query: Query, answer: Answer) -> None:
        self._status(answer, _version_response)

    def _metrics(self, _query: Query, answer: Answer) -> None:
        self._status(answer, lambda status: HttpResponse(200, _METRICS, self._measured.text(status)))

    # -- /debug/: over loopback only ----------------------------------------------------------------------------------

    def _stages(self, query: Query, answer: Answer) -> None:
        """Answer with the times of the group commit that made ?revision=, if it is one of the last."""
        text = query.get("revision", [""])[0]
        found = self._node.stages.describe(int(text)) if text.isascii() and text.isdigit() and len(text) < 20 else None
        if found is None:
            answer(HttpResponse(404, _TEXT, b"no group commit of late made that revision\n"))
        else:
            answer(HttpResponse(200, _JSON, orjson.dumps(found)))

    def _scrub(self, _query: Query, answer: Answer) -> None:
        """Answer with the state of the scrubbing."""
        scrubber = self._node.scrubber
        if scrubber is None:
            answer(HttpResponse(404, _TEXT, b"there are no files here that could rot\n"))
        else:
            answer(HttpResponse(200, _JSON, orjson.dumps(scrubber.state)))

    def _wear(self, _query: Query, answer: Answer) -> None:
        """Answer with what was written to the backend, and what takes its space."""

        def tell(told: dict[str, object] | BrainctlError) -> None:
            if isinstance(told, BrainctlError):
                answer(HttpResponse(404, _TEXT, f"{told}\n".encode()))
            else:
                answer(HttpResponse(200, _JSON, orjson.dumps(told)))

        self._node.tell_wear(tell)

    def _start_scrub(self, answer: Answer) -> None:
        if self._node.scrubber is not None:
            self._node.scrubber.start()
        self._scrub({}, answer)


class Monitoring:
    """The paths that --listen-metrics-urls serves: metrics and health, for whoever may not reach the rest."""

    def __init__(self, handlers: HttpHandlers) -> None:
        self._handlers = handlers

    def serve(self, request: HttpRequest, exchange: Exchange) -> Call | None:
        """See HttpHandlers."""
        first = "/" + request.target.partition("?")[0].strip("/").partition("/")[0]
        if first in _MONITORING:
            return self._handlers.serve(request, exchange)
        exchange.respond(HttpResponse(404, _TEXT, b"404 page not found\n"))
        return None


def _redirect(location: str, method: str) -> HttpResponse:
    """Return the answer that sends a client, with the method and body that it has, to another path, as etcd's does."""
    body = f'<a href="{escape(location)}">Temporary Redirect</a>.\n\n' if method in {"GET", "HEAD"} else ""
    return HttpResponse(307, "text/html; charset=utf-8", body.encode(), (("Location", location),))


def _health_response(reason: str) -> HttpResponse:
    body = orjson.dumps({"health": "false" if reason else "true", "reason": reason})
    return HttpResponse(503, _TEXT, body + b"\n") if reason else HttpResponse(200, _TEXT, body)


def _version_response(status: pb.StatusResponse) -> HttpResponse:
    cluster = ".".join([*status.version.split(".")[:2], "0"]) if status.version else "not_decided"
    storage = status.storageVersion or "unknown"
    return HttpResponse(
        200, _JSON, orjson.dumps({"etcdserver": status.version, "etcdcluster": cluster, "storage": storage})
    )
