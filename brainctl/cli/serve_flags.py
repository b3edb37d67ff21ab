"""The flags of `brainctl serve`, in one table for the command line, the variables and the configuration file.

Names and meanings are etcd's where etcd has the flag.
"""

import inspect
from dataclasses import dataclass
from typing import Annotated

import typer

from brainctl.cli.settings import Kind

_PEER = "http://localhost:2380"
ETCD_SETTING = "etcd_setting"
DEFAULT_LISTEN = "127.0.0.1:2379"


@dataclass(frozen=True, slots=True)
class ServeFlag:
    """One setting of a server."""

    name: str
    kind: Kind
    default: str
    metavar: str
    help: str
    alias: str = ""
    """Another name of it on the command line."""

    @property
    def key(self) -> str:
        """Return the name as a Python identifier."""
        return self.name.replace("-", "_")

    def variables(self) -> tuple[str, str]:
        """Return the environment variables, the stronger one first."""
        suffix = self.key.upper()
        return f"BRAINCTL_SERVE_{suffix}", f"ETCD_{suffix}"


def _text(name: str, metavar: str, about: str, default: str = "", alias: str = "") -> ServeFlag:
    return ServeFlag(name, Kind.TEXT, default, metavar, about, alias)


def _number(name: str, metavar: str, about: str, default: int) -> ServeFlag:
    return ServeFlag(name, Kind.INT, str(default), metavar, about)


def _time(name: str, about: str, default: str) -> ServeFlag:
    return ServeFlag(name, Kind.DURATION, default, "TIME", about)


CONFIG_FILE = _text("config-file", "FILE", "TOML file with settings; flags and variables take precedence")
FLAGS = (
    CONFIG_FILE,
    _text("data-dir", "DIR", "directory that holds the data; created when missing"),
    _text(
        "listen-client-urls",
        "HOST:PORT",
        "addresses to listen on: HOST:PORT, URLs, unix://PATH; port 0 picks a free one, :PORT means all interfaces",
        DEFAULT_LISTEN,
        alias="listen",
    ),
    _text("listen-client-http-urls", "URL[,URL]", "further addresses to listen on; each serves both gRPC and JSON"),
    _text("listen-metrics-urls", "URL[,URL]", "addresses that serve only /metrics, /health, /livez and /readyz"),
    _text(
        "advertise-client-urls",
        "URL[,URL]",
        "URLs of the server in the member list, for clients to use [the addresses listened on]",
    ),
    _text(
        "initial-advertise-peer-urls",
        "URL[,URL]",
        "peer URLs in the member list; the server does not listen on them",
        _PEER,
    ),
    _text("name", "NAME", "name of the server in the member list; over TiKV each has its own (HOST-PORT)", "default"),
    _text("cert-file", "FILE", "certificate chain of the server, a PEM file; turns TLS on"),
    _text("key-file", "FILE", "private key of --cert-file, a PEM file"),
    _text(
        "trusted-ca-file", "FILE", "CA certificates that verify clients, a PEM file; clients must show a certificate"
    ),
    ServeFlag(
        "client-cert-auth",
        Kind.BOOL,
        "false",
        "",
        "require client certificates, and take their common name as the user",
    ),
    _text("client-crl-file", "FILE", "revocation list of client certificates, a PEM file"),
    _text("allowed-cn", "NAME", "common name that client certificates must have"),
    _text(
        "client-cert-allowed-hostname", "NAME[,NAME]", "host names; a client certificate must be valid for one of them"
    ),
    _text("cipher-suites", "NAME[,NAME]", "cipher suites to allow with TLS 1.2, by IANA name"),
    _text("tls-min-version", "VERSION", "lowest TLS version to accept: TLS1.2 or TLS1.3", "TLS1.2"),
    _text("tls-max-version", "VERSION", "highest TLS version to accept: TLS1.2 or TLS1.3"),
    ServeFlag("enable-grpc-gateway", Kind.BOOL, "true", "", "serve the API as JSON over HTTP as well (the gateway)"),
    _text("host-whitelist", "NAME[,NAME]", "host names that requests to the JSON gateway may name (*: any)"),
    _text("cors", "ORIGIN[,ORIGIN]", "origins whose web pages may call the JSON gateway (*: any)"),
    _text(
        "auth-token",
        "KIND",
        "kind of tokens: simple, or jwt,sign-method=METHOD,priv-key=FILE,pub-key=FILE,ttl=TIME",
        "simple",
    ),
    _number("auth-token-ttl", "SECONDS", "lifetime of an unused simple token, in seconds", 300),
    _number(
        "bcrypt-cost", "COST", "cost of the bcrypt hash of a password, 4 to 31; each step doubles the time it takes", 10
    ),
    _number(
        "quota-backend-bytes",
        "BYTES",
        "size of the data, in bytes, from which on writes are refused (0: 2 GiB; negative: no limit)",
        0,
    ),
    _text(
        "auto-compaction-mode",
        "MODE",
        "what --auto-compaction-retention counts: periodic (time) or revision (revisions)",
        "periodic",
    ),
    _text(
        "auto-compaction-retention",
        "HOW-MUCH",
        "history that automatic compaction keeps: 30m, 1h, a number of hours or revisions (0: all)",
        "0",
    ),
    _number("max-request-bytes", "BYTES", "largest write request to accept, in bytes", 3 << 19),
    _number("max-txn-ops", "COUNT", "maximum number of operations in one branch of a transaction", 128),
    _number("max-concurrent-streams", "COUNT", "maximum number of concurrent requests on one connection", 4096),
    _number(
        "max-client-memory",
        "BYTES",
        "limit for requests and answers that are held for all clients together, in bytes (0: half of the memory)",
        0,
    ),
    _time(
        "grpc-keepalive-min-time",
        "shortest time between two pings of a client; one that pings more often is disconnected (0: any)",
        "5s",
    ),
    _time("grpc-keepalive-interval", "idle time after which the server pings a client (0: never)", "2h"),
    _time(
        "grpc-keepalive-timeout",
        "time to wait for the answer to a ping before the connection is closed (0: no pings)",
        "20s",
    ),
    _time(
        "watch-progress-notify-interval",
        "time between progress notifications to an idle watcher that asked for them",
        "10m",
    ),
    _number(
        "reclaim-rate",
        "BYTES",
        "limit for the reads and writes that reclaim space, in bytes per second (0: no limit)",
        64 << 20,
    ),
    _time("scrub-interval", "time between two scrubs, which read all data from the disk to find rot (0: never)", "24h"),
    _number("scrub-rate", "BYTES", "limit for the reads of a scrub, in bytes per second (0: no limit)", 16 << 20),
    _text(
        "role",
        "ROLE",
        "over TiKV: take the lead when it is free (auto), wait for it before serving (leader), or never (follower)",
        "auto",
    ),
    _time("lead-lease", "over TiKV: time for which a silent leader keeps the lead", "5s"),
    _text(
        "tikv-gc",
        "auto|off",
        "over TiKV: advance the safe point of garbage collection unless TiDB does (auto), or never (off)",
        "auto",
    ),
    _text("tikv-client", "own|package", "over TiKV: brainctl's own client, or that of the tikv-client package"),
    _text("log-level", "LEVEL", "lowest level to log: debug, info, warn, error, panic or fatal", "warn"),
    _text("log-format", "FORMAT", "format of the log: console or json", "console"),
    _text("ready-file", "FILE", "file to write the address to once connections are accepted"),
)


def parameters() -> list[inspect.Parameter]:
    """Return parameters for Typer: the flags, and ETCD_SETTING for other flags of etcd; what was not given is None."""
    option = typer.Option("--etcd-setting", hidden=True, help="a flag of etcd that has nothing to set here")
    kind = Annotated[list[str] | None, option]
    others = inspect.Parameter(ETCD_SETTING, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
    return [*map(_parameter, FLAGS), others]


def _parameter(flag: ServeFlag) -> inspect.Parameter:
    is_bool = flag.kind is Kind.BOOL
    names = [f"--{name}" for name in (flag.name, flag.alias) if name]
    if is_bool:
        names = [f"--{flag.name}/--no-{flag.name}"]
    about = f"{flag.help} [{flag.default}]" if flag.default else flag.help
    option = typer.Option(*names, help=about, show_default=False, metavar=flag.metavar or None)
    kind = bool | None if is_bool else str | None
    return inspect.Parameter(flag.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
