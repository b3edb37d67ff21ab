"""The settings of a command: flag, then BRAINCTL_ variable, then ETCDCTL_ variable, then context, then default.

A context that --context names comes behind the flags, and one that BRAINCTL_CONTEXT names behind the BRAINCTL_
variables; weaker sources then change nothing of the place that is connected to, nor of the credentials. See `contexts`
for the file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from brainctl.cli.contexts import config_path, context
from brainctl.errors import BadArguments, BrainctlError, InvalidInput
from brainctl.stores.schemes import Can, forms
from brainctl.stores.urls import canonical

Given = str | bool


class Kind(Enum):
    """Kinds of flags: each says how the text of a value is parsed."""

    TEXT = "string"
    BOOL = "bool"
    DURATION = "duration"
    INT = "int"
    LIST = "strings"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag that every command takes, with its variables."""

    name: str
    kind: Kind
    default: str
    help: str
    short: str = ""

    @property
    def key(self) -> str:
        """Return the name as a Python identifier."""
        return self.name.replace("-", "_")

    @property
    def spelled(self) -> str:
        """Return the flag as messages name it."""
        return f"{self.short}, --{self.name}" if self.short else f"--{self.name}"

    def variables(self) -> tuple[str, str]:
        """Return the environment variables, the stronger one first."""
        suffix = self.key.upper()
        return f"BRAINCTL_{suffix}", f"ETCDCTL_{suffix}"


FLAGS = (
    Flag("endpoints", Kind.LIST, "127.0.0.1:2379", "gRPC endpoints, separated by commas"),
    Flag("discovery-srv", Kind.TEXT, "", "the domain whose DNS SRV records name the endpoints", "-d"),
    Flag("discovery-srv-name", Kind.TEXT, "", "the name of the cluster in the DNS SRV records of --discovery-srv"),
    Flag(
        "insecure-discovery",
        Kind.BOOL,
        "true",
        "accept endpoints without TLS from the DNS SRV records of --discovery-srv",
    ),
    Flag(
        "store",
        Kind.TEXT,
        "",
        f"the store to use instead of endpoints: {forms(Can.OPEN, 'or')}",
    ),
    Flag("context", Kind.TEXT, "", "the context of the configuration file to use"),
    Flag("write-out", Kind.TEXT, "simple", "the output format: fields, json, protobuf, simple, table", "-w"),
    Flag(
        "numbers",
        Kind.TEXT,
        "",
        "how -w json writes 64-bit numbers: int, as etcdctl does, or string, which no reader rounds",
    ),
    Flag("hex", Kind.BOOL, "false", "print byte strings as hex encoded strings"),
    Flag("debug", Kind.BOOL, "false", "print the settings in force, and tracebacks"),
    Flag("dial-timeout", Kind.DURATION, "2s", "time limit for connecting to an endpoint"),
    Flag("command-timeout", Kind.DURATION, "5s", "time limit for a short request, connecting not included"),
    Flag("keepalive-time", Kind.DURATION, "2s", "idle time after which a keepalive ping is sent"),
    Flag(
        "keepalive-timeout",
        Kind.DURATION,
        "6s",
        "time to wait for the answer to a keepalive ping before the connection is closed",
    ),
    Flag("max-request-bytes", Kind.INT, "0", "largest request that is sent, in bytes (0: 2 MiB)"),
    Flag("max-recv-bytes", Kind.INT, "0", "largest response that is accepted, in bytes (0: 2 GiB)"),
    Flag(
        "insecure-transport",
        Kind.BOOL,
        "true",
        "connect without TLS where neither the endpoint's scheme nor a certificate flag asks for it",
    ),
    Flag("insecure-skip-tls-verify", Kind.BOOL, "false", "do not verify the server's certificate: for tests only"),
    Flag("cert", Kind.TEXT, "", "the client's TLS certificate, a PEM file"),
    Flag("key", Kind.TEXT, "", "the private key of --cert, a PEM file"),
    Flag("cacert", Kind.TEXT, "", "the CA certificates that verify servers, a PEM file"),
    Flag("user", Kind.TEXT, "", "the user to authenticate, NAME[:PASSWORD]; a missing password is asked for"),
    Flag("password", Kind.TEXT, "", "the password of --user"),
    Flag(
        "even-unfinished", Kind.BOOL, "false", "also serve and write a store that a migration has not finished copying"
    ),
    Flag("auth-jwt-token", Kind.TEXT, "", "a JSON web token, instead of --user and --password"),
)

FORMATS = ("fields", "json", "protobuf", "simple", "table")
NUMBERS = ("int", "string")
TARGET = frozenset(
    (
        *("endpoints", "discovery-srv", "discovery-srv-name", "insecure-discovery", "store"),
        *("insecure-transport", "insecure-skip-tls-verify", "cert", "key", "cacert"),
        *("user", "password", "auth-jwt-token"),
    )
)
"""The flags that say which store is connected to, and with which credentials."""
_PLACES = ("endpoints", "store", "discovery-srv")


class _Override(NamedTuple):
    """A flag whose value is ignored where a stronger source sets one of `by`."""

    name: str
    by: tuple[str, ...]
    only_of_contexts: bool = True
    """Whether that holds for the value of a context alone, not for a weaker variable."""


_OVERRIDES = (
    _Override("store", ("endpoints", "discovery-srv"), only_of_contexts=False),
    _Override("discovery-srv", ("endpoints", "store")),
    _Override("password", ("user",)),  # a password belongs to its user, a key to its certificate
    _Override("auth-jwt-token", ("user", "password")),
    _Override("key", ("cert",)),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it, resolved. Times are in seconds."""

    named_endpoints: tuple[str, ...]
    named_store: str
    store_given: bool
    """Whether the store is from the command line or a variable, not from a context."""
    problem: str
    """The error for a context that is needed and cannot be read, since it may name the store; "" when there is none."""
    warning: str
    """The warning for a context that cannot be read where endpoints or a store are given without it; "" for none."""
    discovery_srv: str
    discovery_srv_name: str
    insecure_discovery: bool
    write_out: str
    numbers: str
    hex: bool
    debug: bool
    dial_timeout: float
    command_timeout: float
    command_timeout_given: bool
    """Whether the limit is from the command line: without it some commands have none."""
    keepalive_time: float
    keepalive_timeout: float
    max_request_bytes: int
    max_recv_bytes: int
    insecure_transport: bool
    insecure_skip_tls_verify: bool
    cert: str
    key: str
    cacert: str
    user: str
    password: str
    auth_jwt_token: str
    even_unfinished: bool

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Return the endpoints.

        Raises:
            InvalidInput: they would be those of a context that cannot be read.
        """
        self._require_context()
        return self.named_endpoints

    @property
    def store(self) -> str:
        """Return the URL of --store, "" where the endpoints are meant.

        Raises:
            InvalidInput: it would be that of a context that cannot be read.
        """
        self._require_context()
        return self.named_store

    def _require_context(self) -> None:
        if self.problem:
            raise InvalidInput(self.problem)


def resolve(given: Mapping[str, Given], environ: Mapping[str, str]) -> Settings:
    """Return the settings in force.

    Args:
        given: the global flags of the command line, by key.
        environ: the environment variables.

    Raises:
        BadArguments: a file of TLS is named by an empty text.
        BadValue: a value cannot be read.
        InvalidInput: the context that --context names cannot be used.
    """
    sources, problem = _sources(given, environ)
    merged = _merged(sources)
    texts = {flag.key: merged.get(flag.name, flag.default) for flag in FLAGS}
    is_named = any(name in source.texts for source in sources if not source.is_context for name in _PLACES)
    flags = {flag.key: flag for flag in FLAGS}
    for name in ("cert", "key", "cacert"):
        if given.get(name) == "":
            raise BadArguments(f"empty string is passed to --{name} option")

    def seconds(key: str) -> float:
        return read_duration(texts[key], flags[key].spelled)

    def integer(key: str) -> int:
        return read_int(texts[key], flags[key].spelled)

    def truth(key: str) -> bool:
        return read_bool(texts[key], flags[key].spelled)

    return Settings(
        named_endpoints=tuple(_endpoints(texts["endpoints"])),
        named_store=canonical(texts["store"]),
        store_given=any("store" in source.texts for source in sources if not source.is_context),
        problem="" if is_named else problem,
        warning=problem if is_named else "",
        discovery_srv=texts["discovery_srv"],
        discovery_srv_name=texts["discovery_srv_name"],
        insecure_discovery=truth("insecure_discovery"),
        write_out=texts["write_out"],
        numbers=_numbers(texts["numbers"]),
        hex=truth("hex"),
        debug=truth("debug"),
        dial_timeout=seconds("dial_timeout"),
        command_timeout=seconds("command_timeout"),
        command_timeout_given="command_timeout" in given,
        keepalive_time=seconds("keepalive_time"),
        keepalive_timeout=seconds("keepalive_timeout"),
        max_request_bytes=integer("max_request_bytes"),
        max_recv_bytes=integer("max_recv_bytes"),
        insecure_transport=truth("insecure_transport"),
        even_unfinished=truth("even_unfinished"),
        insecure_skip_tls_verify=truth("insecure_skip_tls_verify"),
        cert=texts["cert"],
        key=texts["key"],
        cacert=texts["cacert"],
        user=texts["user"],
        password=texts["password"],
        auth_jwt_token=texts["auth_jwt_token"],
    )


class BadValue(BrainctlError):
    """The value of a flag cannot be read; etcdctl's text and exit code."""

    def __init__(self, value: str, flag: str, reason: str) -> None:
        super().__init__(f'invalid argument "{value}" for "{flag}" flag: {reason}')


def read_bool(text: str, flag: str) -> bool:
    """Return true or false from any of Go's spellings.

    Raises:
        BadValue: it is none of them.
    """
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise BadValue(text, flag, f'strconv.ParseBool: parsing "{text}": invalid syntax')


def read_int(text: str, flag: str) -> int:
    """Return a 64-bit integer, in decimal or with one of the prefixes 0x, 0o and 0b.

    Raises:
        BadValue: it is no such number.
    """
    try:
        value = int(text, 0 if re.match(r"[+-]?0[xXoObB]", text) else 10)
    except ValueError:
        raise BadValue(text, flag, f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if not -(2**63) <= value < 2**63:
        raise BadValue(text, flag, f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


_UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([a-z\u00b5\u03bc]+)")


def read_duration(text: str, flag: str) -> float:
    """Return seconds, from Go's form 1h15m30.5s; a bare 0 is allowed, any other number needs a unit.

    Raises:
        BadValue: it is no such text.
    """
    sign = -1 if text.startswith("-") else 1
    body = text.lstrip("+-") if text[:1] in ("+", "-") else text
    if body == "0":
        return 0.0
    parts = _PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        missing = re.fullmatch(r"\d+\.?\d*|\.\d+", body)
        reason = f'missing unit in duration "{text}"' if missing else f'invalid duration "{text}"'
        raise BadValue(text, flag, f"time: {reason}")
    for _, unit in parts:
        if unit not in _UNITS:
            raise BadValue(text, flag, f'time: unknown unit "{unit}" in duration "{text}"')
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


def _numbers(text: str) -> str:
    if text not in ("", *NUMBERS):
        raise BadValue(text, "--numbers", f"it is none of {', '.join(NUMBERS)}")
    return text


def _endpoints(text: str) -> Iterator[str]:
    """Yield the endpoints of a list with commas, in which spaces and quotes are taken too, and empty ones left out."""
    for item in text.split(","):
        endpoint = item.strip().strip('"').strip()
        if endpoint.lower().startswith(("unix:", "unixs:")):  # a path may have spaces
            yield endpoint
        else:
            yield from endpoint.split()


class _Source(NamedTuple):
    """Values by the names of flags, and whether they are a context's."""

    texts: Mapping[str, str]
    is_context: bool = False
    is_hidden: bool = False
    """Behind a context that was chosen, which alone says what is connected to."""


def _sources(given: Mapping[str, Given], environ: Mapping[str, str]) -> tuple[list[_Source], str]:
    """Return where settings come from, the strongest first, and what is wrong with a context that was not typed.

    A context is as strong as what chose it: --context, $BRAINCTL_CONTEXT, or the file.

    Raises:
        InvalidInput: The context that the command line asks for cannot be used.
    """
    typed = _Source({flag.name: _typed(given[flag.key]) for flag in FLAGS if flag.key in given})
    ours, theirs = (
        _Source({flag.name: environ[name] for flag in FLAGS if environ.get(name := flag.variables()[place])})
        for place in (0, 1)
    )
    asked, chosen = typed.texts.get("context", ""), ours.texts.get("context", "")
    table, problem = _Source({}, is_context=True), ""
    try:
        table = table._replace(texts=_context(asked or chosen, environ))
    except InvalidInput as error:
        if asked:
            raise
        problem = str(error)
    if asked:
        return [typed, table, ours._replace(is_hidden=True), theirs._replace(is_hidden=True)], problem
    if chosen:
        return [typed, ours, table, theirs._replace(is_hidden=True)], problem
    return [typed, ours, theirs, table], problem


def _context(name: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a context sets, by flag.

    Raises:
        InvalidInput: it cannot be used.
    """
    path = config_path(environ)
    name, table = context(name, path, must_exist=bool(environ.get("BRAINCTL_CONFIG")))
    flags = {flag.name: flag for flag in FLAGS if flag.name != "context"}
    for key, text in table.items():
        if key not in flags:
            raise InvalidInput(f"{path}: context {name!r} sets the unknown flag {key!r}")
        try:
            _check(flags[key], text)
        except BadValue as error:
            raise InvalidInput(f"{path}: context {name!r}: {error}") from None
    return table


def _check(flag: Flag, text: str) -> None:
    """Raise BadValue for a text that the flag cannot have."""
    if flag.kind is Kind.BOOL:
        read_bool(text, flag.spelled)
    elif flag.kind is Kind.DURATION:
        read_duration(text, flag.spelled)
    elif flag.kind is Kind.INT:
        read_int(text, flag.spelled)
    elif flag.name == "numbers":
        _numbers(text)
    elif flag.name == "write-out" and text not in FORMATS:
        raise BadValue(text, flag.spelled, f"it is none of {', '.join(FORMATS)}")


def _merged(sources: Sequence[_Source]) -> dict[str, str]:
    """Return the texts of the flags by name: that of the strongest source which has one and may be asked."""
    found: dict[str, str] = {}
    for source in sources:
        ignored = {
            override.name
            for override in _OVERRIDES
            if (source.is_context or not override.only_of_contexts) and not found.keys().isdisjoint(override.by)
        }
        if source.is_hidden:
            ignored |= TARGET
        found |= {name: text for name, text in source.texts.items() if name not in found and name not in ignored}
    return found


def _typed(value: Given) -> str:
    return str(value).lower() if isinstance(value, bool) else value
