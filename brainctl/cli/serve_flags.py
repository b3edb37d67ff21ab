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


CONFIG_FILE = _text("config-file", "FILE", "read settings from a TOML file; flags and variables are stronger")
FLAGS = (
    CONFIG_FILE,
    _text("data-dir", "DIR", "the directory that holds the data; made when missing"),
    _text(
        "listen-client-urls",
        "HOST:PORT",
        "where to listen, or URLs of that, or unix://PATH; port 0 takes a free one, :PORT all interfaces",
        DEFAULT_LISTEN,
        alias="listen",
    ),
    _text("listen-client-http-urls", "URL[,URL]", "more places to listen; all of them serve gRPC and JSON"),
    _text("listen-metrics-urls", "URL[,URL]", "where to serve /metrics, /health, /livez and /readyz and nothing else"),
    _text("advertise-client-urls", "URL[,URL]", "where clients are told to find the server; the address otherwise"),
    _text("initial-advertise-peer-urls", "URL[,URL]", "the peer URLs of the member list; nothing listens there", _PEER),
    _text("name", "NAME", "the name of the member", "default"),
    _text("cert-file", "FILE", "serve TLS with this chain"),
    _text("key-file", "FILE", "and its key"),
    _text("trusted-ca-file", "FILE", "the authorities of client certificates, which are demanded then"),
    ServeFlag("client-cert-auth", Kind.BOOL, "false", "", "demand client certificates, whose common names are users"),
    _text("client-crl-file", "FILE", "client certificates that were revoked"),
    _text("allowed-cn", "NAME", "the common name that client certificates must have"),
    _text("client-cert-allowed-hostname", "NAME[,NAME]", "hosts, one of which client certificates must be good for"),
    _text("cipher-suites", "NAME[,NAME]", "cipher suites of TLS 1.2, by IANA name"),
    _text("tls-min-version", "VERSION", "TLS1.2 or TLS1.3", "TLS1.2"),
    _text("tls-max-version", "VERSION", "TLS1.2 or TLS1.3"),
    ServeFlag("enable-grpc-gateway", Kind.BOOL, "true", "", "serve the JSON gateway"),
    _text("host-whitelist", "NAME[,NAME]", "names that the JSON gateway may be called by (*: any)"),
    _text("cors", "ORIGIN[,ORIGIN]", "sites whose pages may use the JSON gateway (*: any)"),
    _text("auth-token", "KIND", "simple, or jwt,sign-method=METHOD,priv-key=FILE,pub-key=FILE,ttl=TIME", "simple"),
    _number("auth-token-ttl", "SECONDS", "how long an unused simple token is good", 300),
    _number("bcrypt-cost", "COST", "how hard passwords are to guess from their hashes, 4 to 31", 10),
    _number("quota-backend-bytes", "BYTES", "refuse growth beyond this size (0: 2 GiB; negative: no limit)", 0),
    _text("auto-compaction-mode", "MODE", "periodic, to keep a time, or revision, to keep a number", "periodic"),
    _text("auto-compaction-retention", "HOW-MUCH", "history to keep: 30m, 1h, hours, or revisions (0: all)", "0"),
    _number("max-request-bytes", "BYTES", "the largest write", 3 << 19),
    _number("max-txn-ops", "COUNT", "operations in one branch of a transaction", 128),
    _number("max-concurrent-streams", "COUNT", "requests at once on one connection", 4096),
    _number(
        "max-client-memory",
        "BYTES",
        "what all clients together may have the server hold of requests and answers (0: half of the memory)",
        0,
    ),
    _time("grpc-keepalive-min-time", "clients that ping more often are sent away (0: never)", "5s"),
    _time("grpc-keepalive-interval", "after how long a silent client is pinged (0: never)", "2h"),
    _time("grpc-keepalive-timeout", "and after how long without an answer it is cut off (0: never)", "20s"),
    _time("watch-progress-notify-interval", "how often watchers that ask for it hear of progress", "10m"),
    _number(
        "reclaim-rate", "BYTES", "read and write so much in a second at most to give back space (0: no bound)", 64 << 20
    ),
    _time("scrub-interval", "read all that is on the medium so often, to find rot (0: never)", "24h"),
    _number("scrub-rate", "BYTES", "and so much of it in a second at most (0: no bound)", 16 << 20),
    _text("tikv-gc", "auto|off", "over TiKV: move on its garbage collection unless TiDB does, or never", "auto"),
    _text("log-level", "LEVEL", "debug, info, warn, error, panic or fatal", "warn"),
    _text("log-format", "FORMAT", "console or json", "console"),
    _text("ready-file", "FILE", "write the address there once connections are taken"),
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
    about = flag.help if is_bool or not flag.default else f"{flag.help} [{flag.default}]"
    option = typer.Option(*names, help=about, show_default=False, metavar=flag.metavar or None)
    kind = bool | None if is_bool else str | None
    return inspect.Parameter(flag.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
