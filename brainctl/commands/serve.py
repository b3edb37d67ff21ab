"""brainctl serve."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.parse import unquote

import typer

from brainctl.commands._command import single
from brainctl.config import read_int
from brainctl.errors import BadArguments, BrainctlError, InvalidInput
from brainctl.session import Session

if TYPE_CHECKING:
    from brainctl.node.medium import Medium
    from brainctl.node.node import Node
    from brainctl.server.tls import TlsOptions

DEFAULT_LISTEN = "127.0.0.1:2379"
DEFAULT_TOKENS = "simple"
DEFAULT_TTL = "300"


class Plan(NamedTuple):
    """What to serve, and where."""

    data_dir: str
    listen: str
    ready_file: str
    tls: "TlsOptions | None"
    auth: "Auth"


class Auth(NamedTuple):
    """How users prove who they are, once authentication is turned on."""

    token: str
    token_ttl: int
    bcrypt_cost: int


def parse(
    data_dir: Annotated[
        str, typer.Option("--data-dir", metavar="DIR", help="the directory that holds the data; made when missing")
    ] = "",
    listen: Annotated[
        str,
        typer.Option(
            "--listen",
            "--listen-client-urls",
            metavar="HOST:PORT",
            help="where to listen; port 0 takes a free one, :PORT all interfaces",
        ),
    ] = DEFAULT_LISTEN,
    cert_file: Annotated[str, typer.Option("--cert-file", metavar="FILE", help="serve TLS with this chain")] = "",
    key_file: Annotated[str, typer.Option("--key-file", metavar="FILE", help="and its key")] = "",
    trusted_ca_file: Annotated[
        str, typer.Option("--trusted-ca-file", metavar="FILE", help="the authority of client certificates")
    ] = "",
    client_cert_auth: Annotated[
        bool, typer.Option("--client-cert-auth", help="take only clients with a certificate of that authority")
    ] = False,
    client_crl_file: Annotated[
        str, typer.Option("--client-crl-file", metavar="FILE", help="client certificates that were revoked")
    ] = "",
    allowed_cn: Annotated[
        str, typer.Option("--allowed-cn", metavar="NAME", help="the common name that client certificates must have")
    ] = "",
    cipher_suites: Annotated[
        str, typer.Option("--cipher-suites", metavar="NAME[,NAME]", help="cipher suites of TLS 1.2, by IANA name")
    ] = "",
    tls_min_version: Annotated[str, typer.Option("--tls-min-version", help="TLS1.2 or TLS1.3")] = "TLS1.2",
    tls_max_version: Annotated[str, typer.Option("--tls-max-version", help="TLS1.2 or TLS1.3")] = "",
    auth_token: Annotated[
        str,
        typer.Option(
            "--auth-token",
            metavar="KIND",
            help="simple, or jwt,sign-method=METHOD,priv-key=FILE,pub-key=FILE,ttl=TIME",
        ),
    ] = DEFAULT_TOKENS,
    auth_token_ttl: Annotated[
        str, typer.Option("--auth-token-ttl", metavar="SECONDS", help="how long an unused simple token is good")
    ] = DEFAULT_TTL,
    bcrypt_cost: Annotated[
        str, typer.Option("--bcrypt-cost", metavar="COST", help="how hard passwords are to guess, 4 to 31")
    ] = "10",
    ready_file: Annotated[
        str, typer.Option("--ready-file", metavar="FILE", help="write the address there once connections are taken")
    ] = "",
) -> Plan:
    """Serve the etcd API from a directory (--data-dir) or from TiKV (--store tikv://PD/PREFIX).

    Says "ready" with its address on standard error once it takes connections. SIGTERM and SIGINT finish the calls in
    progress and end it; a second one ends it at once.
    """
    auth = _auth(auth_token, auth_token_ttl, bcrypt_cost)
    if bool(cert_file) != bool(key_file):
        raise BadArguments("TLS needs both --cert-file and --key-file")
    if not cert_file:
        if trusted_ca_file or client_cert_auth or client_crl_file or allowed_cn:
            raise BadArguments("client certificates need TLS: --cert-file and --key-file")
        return Plan(data_dir, listen, ready_file, None, auth)
    from brainctl.server.tls import TlsOptions

    suites = tuple(name for name in cipher_suites.split(",") if name)
    tls = TlsOptions(
        cert_file,
        key_file,
        trusted_ca_file,
        client_cert_auth,
        client_crl_file,
        allowed_cn,
        suites,
        tls_min_version,
        tls_max_version,
    )
    return Plan(data_dir, listen, ready_file, tls, auth)


def _auth(token: str, token_ttl: str, bcrypt_cost: str) -> Auth:
    seconds, cost = read_int(token_ttl, "--auth-token-ttl"), read_int(bcrypt_cost, "--bcrypt-cost")
    if seconds < 1:
        raise BadArguments("--auth-token-ttl is at least a second")
    if not 4 <= cost <= 31:
        raise BadArguments("--bcrypt-cost is from 4 to 31")
    return Auth(token, seconds, cost)


def run(session: Session, plan: Plan) -> None:
    """Serve until a signal or a failure of the store ends it."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(session, plan))


async def _serve(session: Session, plan: Plan) -> None:
    from brainctl.server.app import serve
    from brainctl.server.tls import ServerTls

    tls = ServerTls(plan.tls) if plan.tls else None
    served = await _open(session, plan)
    failures: list[BrainctlError] = []
    stop = asyncio.Event()

    def fail(error: BrainctlError) -> None:
        failures.append(error)
        stop.set()

    def ready(address: str) -> None:
        served.announce(address)
        served.node.cluster.client_urls = [f"{'https' if tls else 'http'}://{address}"]
        session.warn(f"ready: serving {served.name} at {address}")
        if plan.ready_file:
            _write_whole(Path(plan.ready_file), f"{address}\n")

    served.on_failure(fail)
    try:
        await serve(served.node, plan.listen, tls=tls, on_ready=ready, stop=stop)
    finally:
        await served.node.close()
    if failures:
        raise failures[0]


class _Served(NamedTuple):
    """A node and what differs between the media under it."""

    node: "Node"
    name: str
    announce: Callable[[str], None]
    """Tell those who find the store in use where it is served."""
    on_failure: Callable[[Callable[[BrainctlError], None]], None]


async def _open(session: Session, plan: Plan) -> _Served:
    url = session.settings.store
    if url and plan.data_dir:
        raise BadArguments("--data-dir and --store name two stores; which one?")
    if url.startswith("tikv://"):
        return await _open_tikv(url, plan.auth)
    if url and not url.startswith("file://"):
        raise InvalidInput(f"cannot serve {url}: file:// and tikv:// can be served")
    directory = unquote(url.removeprefix("file://")) or plan.data_dir
    if not directory:
        raise BadArguments("serve needs --data-dir DIR or --store tikv://PD/PREFIX")
    return _open_local(directory, plan.auth)


def _open_local(directory: str, auth: Auth) -> _Served:
    from brainctl.engine.engine import Engine
    from brainctl.node.local import open_local

    engine = Engine.open(directory)
    medium = open_local(engine, asyncio.get_running_loop())

    def on_failure(action: Callable[[BrainctlError], None]) -> None:
        medium.on_failure = action

    return _Served(_node(medium, auth), f"file://{directory}", engine.announce, on_failure)


async def _open_tikv(url: str, auth: Auth) -> _Served:
    from brainctl.stores.tikv import open_tikv_medium

    medium = await open_tikv_medium(url)

    def on_failure(action: Callable[[BrainctlError], None]) -> None:
        medium.on_failure = action

    return _Served(_node(medium, auth), url, lambda _: None, on_failure)


def _node(medium: "Medium", auth: Auth) -> "Node":
    from brainctl.clock import SystemClock
    from brainctl.node.node import Node
    from brainctl.node.passwords import Passwords
    from brainctl.node.token_option import tokens_of

    clock = SystemClock()
    tokens = tokens_of(auth.token, clock, auth.token_ttl)
    return Node(medium, clock, tokens, Passwords(auth.bcrypt_cost))


def _write_whole(path: Path, text: str) -> None:
    """Write a file that others wait for: they see all of it or nothing."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


app = single("serve", parse, run)
