"""brainctl serve."""

import asyncio
import inspect
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from brainctl.cli.command import single
from brainctl.cli.serve_flags import parameters
from brainctl.cli.session import Session
from brainctl.cli.settings import Given
from brainctl.commands.serve import places
from brainctl.commands.serve.cluster import joined, lease_of, name_of, peer_calls, role_of
from brainctl.commands.serve.log import check_log, start_log
from brainctl.commands.serve.settings import ServeSettings
from brainctl.errors import BadArguments, BrainctlError
from brainctl.stores.schemes import Can
from brainctl.stores.urls import having, of_directory

if TYPE_CHECKING:
    from brainctl.node.node import Node
    from brainctl.node.options import NodeOptions
    from brainctl.server.tls.context import TlsOptions
    from brainctl.stores.driver import Served
    from brainctl.stores.etcd.peers import PeerCalls
    from brainctl.wire.limits import Limits

REQUEST_OVERHEAD_BYTES = 512 << 10
"""Bytes that a message may have around the largest write, as in etcd."""
REQUEST_BYTES_LIMIT = 64 << 20
PROGRESS_LEAST_SECONDS = 0.1
"""etcd's least interval of progress notifications."""
SWITCH_SECONDS = 0.0005
"""Seconds for which background work may keep the interpreter once the event loop wants it: a put asks several times."""
_CLIENT_CERTIFICATES = ("trusted-ca-file", "client-crl-file", "allowed-cn", "client-cert-allowed-hostname")


class Auth(NamedTuple):
    """Options for tokens and passwords, once authentication is turned on."""

    token: str
    token_ttl: int
    bcrypt_cost: int


class ServeOptions(NamedTuple):
    """Options of `brainctl serve`: the store, and the addresses."""

    settings: ServeSettings
    listen: str
    metrics: str
    """Addresses that serve metrics and health alone."""
    advertise: tuple[str, ...]
    tls: "TlsOptions | None"
    auth: Auth
    options: "NodeOptions"
    limits: "Limits"


def parse(etcd_setting: list[str] | None = None, **given: Given | None) -> ServeOptions:
    """Serve the etcd API from a directory (--data-dir) or from TiKV (--store tikv://PD/PREFIX).

    Says "ready" with its address on standard error once it takes connections. SIGTERM and SIGINT finish the calls in
    progress and end it; a second one ends it at once. Each flag can also be set by a variable (BRAINCTL_SERVE_DATA_DIR
    or ETCD_DATA_DIR for --data-dir) and in the file that --config-file names.
    """
    settings = ServeSettings(given, os.environ, etcd_setting or ())
    check_log(settings.text("log-level"), settings.text("log-format"))
    tls = _tls(settings)
    listen = places.listening(settings, has_tls=tls is not None)
    metrics = places.metrics(settings, has_tls=tls is not None)
    advertise = places.advertised(settings)
    auth = Auth(
        settings.text("auth-token"), settings.number("auth-token-ttl", 1), settings.number("bcrypt-cost", 4, 31)
    )
    return ServeOptions(settings, listen, metrics, advertise, tls, auth, _node_options(settings), _limits(settings))


parse.__signature__ = inspect.Signature(parameters())  # type: ignore[attr-defined]


def _tls(settings: ServeSettings) -> "TlsOptions | None":
    text = settings.text
    client_cert_auth = settings.truth("client-cert-auth")
    if bool(text("cert-file")) != bool(text("key-file")):
        raise BadArguments("TLS needs both --cert-file and --key-file")
    if not text("cert-file"):
        if client_cert_auth or any(map(text, _CLIENT_CERTIFICATES)):
            raise BadArguments("client certificates need TLS: --cert-file and --key-file")
        return None
    from brainctl.server.tls.context import TlsOptions

    return TlsOptions(
        text("cert-file"),
        text("key-file"),
        text("trusted-ca-file"),
        client_cert_auth,
        text("client-crl-file"),
        text("allowed-cn"),
        settings.texts("client-cert-allowed-hostname"),
        settings.texts("cipher-suites"),
        text("tls-min-version"),
        text("tls-max-version"),
    )


def _node_options(settings: ServeSettings) -> "NodeOptions":
    from brainctl.node.jobs.scrubber import ScrubOptions
    from brainctl.node.options import NodeOptions
    from brainctl.server.buffers import WATCH_SHARE, client_memory

    return NodeOptions(
        name=settings.text("name"),
        peer_urls=places.peers(settings),
        max_request_bytes=settings.number("max-request-bytes", 1, REQUEST_BYTES_LIMIT),
        max_txn_ops=settings.number("max-txn-ops", 1),
        quota_bytes=settings.number("quota-backend-bytes"),
        progress_seconds=max(settings.seconds("watch-progress-notify-interval"), PROGRESS_LEAST_SECONDS),
        retention=settings.retention(),
        watch_bytes=client_memory(settings.number("max-client-memory", 0)) // WATCH_SHARE,
        scrub=ScrubOptions(settings.seconds("scrub-interval"), settings.number("scrub-rate", 0)),
    )


def _limits(settings: ServeSettings) -> "Limits":
    from brainctl.wire.limits import Limits

    message = settings.number("max-request-bytes") + REQUEST_OVERHEAD_BYTES
    defaults = Limits()
    return defaults._replace(
        message_bytes=message,
        http_body_bytes=2 * message,
        streams=min(settings.number("max-concurrent-streams", 1, 2**32 - 1), 2**31 - 1),
        partial_bytes=max(defaults.partial_bytes, 4 * message),
        clients_bytes=settings.number("max-client-memory", 0),
        ping_min_seconds=settings.seconds("grpc-keepalive-min-time"),
        silence_seconds=settings.seconds("grpc-keepalive-interval"),
        ping_timeout_seconds=settings.seconds("grpc-keepalive-timeout"),
    )


def run(session: Session, plan: ServeOptions) -> None:
    """Serve until a signal or a failure of the store ends it."""
    import uvloop

    from brainctl.engine.vfs.spare_descriptors import SPARE
    from brainctl.server.admission import SPARE_DESCRIPTORS, raise_descriptor_limit
    from brainctl.server.malloc import keep_freed_memory

    raise_descriptor_limit()
    SPARE.keep(SPARE_DESCRIPTORS)
    start_log(plan.settings.text("log-level"), plan.settings.text("log-format"))
    for remark in plan.settings.remarks:
        session.warn(f"warning: {remark}")
    keep_freed_memory()
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(session, plan))


async def _serve(session: Session, plan: ServeOptions) -> None:
    from brainctl.server.app import serve
    from brainctl.server.collector import calm_collector
    from brainctl.server.gateway.access import GatewayAccess
    from brainctl.server.notify import notify
    from brainctl.server.tls.context import ServerTls

    tls = ServerTls(plan.tls) if plan.tls else None
    served, node, peers = await _open(session, plan)
    failures: list[BrainctlError] = []
    stop = asyncio.Event()

    def fail(error: BrainctlError) -> None:
        failures.append(error)
        stop.set()

    def ready(address: str) -> None:
        urls = plan.advertise or places.urls_of(plan.listen, address, has_tls=tls is not None)
        served.announce(address.partition(",")[0], urls)
        if served.shared is not None and (url := places.reaching_nobody(urls)):
            session.warn(f"warning: other servers of the store cannot reach {url}: set --advertise-client-urls")
        node.cluster.client_urls = urls
        ready_file = plan.settings.text("ready-file")
        if ready_file:
            _write_whole(Path(ready_file), f"{address}\n")
        session.warn(f"ready: serving {served.url} at {address}")
        notify("READY=1")

    served.on_failure(fail)
    calm_collector()
    try:
        await serve(
            node,
            plan.listen,
            metrics=plan.metrics,
            tls=tls,
            limits=plan.limits,
            access=GatewayAccess(
                plan.settings.texts("host-whitelist"),
                plan.settings.texts("cors"),
                enabled=plan.settings.truth("enable-grpc-gateway"),
            ),
            on_ready=ready,
            on_stopping=partial(notify, "STOPPING=1"),
            stop=stop,
        )
    finally:
        await node.close()
        if peers is not None:
            await peers.close()
    if failures:
        raise failures[0]


def _store(session: Session, plan: ServeOptions) -> str:
    """Return the URL of --store; that of a context, which is for clients, only where nothing else is named."""
    return session.settings.store if session.settings.store_given or not plan.settings.has_place else ""


async def _open(session: Session, plan: ServeOptions) -> "tuple[Served, Node, PeerCalls | None]":
    """Open what keeps the data, and create the node over it."""
    from brainctl.stores.driver import Serving
    from brainctl.stores.registry import open_backend
    from brainctl.stores.tikv_url import with_client

    directory, url = plan.settings.place(_store(session, plan))
    url = url or of_directory(f"./{directory}" if directory.startswith("~") else directory)  # a name, not a home
    measures = having(Can.SERVE, url).scheme.measures
    if not measures and plan.settings.number("quota-backend-bytes") > 0:
        raise BadArguments(f"--quota-backend-bytes: {url} does not tell what it takes up, so it cannot be limited")
    if (client := plan.settings.text("tikv-client")) and url.startswith("tikv://"):
        url = with_client(url, client)
    collection = plan.settings.text("tikv-gc")
    if collection not in ("auto", "off"):
        raise BadArguments(f"--tikv-gc: auto or off, not {collection!r}")
    rate = plan.settings.number("reclaim-rate", 0)
    serving = Serving(
        session.admission,
        session.warn,
        rate,
        collection == "auto",
        role_of(plan.settings.text("role")),
        name_of(plan.settings.text("name"), plan.listen),
        tuple(plan.options.peer_urls),
        lease_of(plan.settings.seconds("lead-lease")),
    )
    served = await open_backend(url, serving)
    options = plan.options if measures else replace(plan.options, quota_bytes=None)
    peers = peer_calls(plan.tls, plan.limits.http_body_bytes) if served.shared is not None else None
    return served, _node(served, plan._replace(options=options), peers), peers


def _node(served: "Served", plan: ServeOptions, peers: "PeerCalls | None") -> "Node":
    from brainctl.clock import SystemClock
    from brainctl.node.access.passwords import Passwords
    from brainctl.node.access.token_option import tokens_of
    from brainctl.node.node import Node

    clock = SystemClock()
    tokens = tokens_of(plan.auth.token, clock, plan.auth.token_ttl)
    cluster = None
    if served.shared is not None and peers is not None:
        cluster, tokens = joined(served.shared, served.backend, peers, tokens, plan.auth.token_ttl)
    return Node(served.backend, clock, tokens, Passwords(plan.auth.bcrypt_cost), plan.options, cluster)


def _write_whole(path: Path, text: str) -> None:
    """Write a file that others wait for: they see all of it or nothing."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


app = single("serve", parse, run)
