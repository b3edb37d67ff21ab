"""Which etcd to call, and how: endpoints, TLS, credentials, limits."""

import re
from dataclasses import dataclass

from brainctl.errors import BadArguments

PORT = 2379
"""The port of an endpoint that names none."""
MAX_SEND_BYTES = 2 * 1024 * 1024
"""The largest request in bytes, as in etcd's own client."""
MAX_RECEIVE_BYTES = 2**31 - 1
"""The largest response in bytes, as in etcd's own client: in practice no limit."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates by file name; "" when there is none."""

    cert: str = ""
    key: str = ""
    cacert: str = ""
    required: bool = False
    """Use TLS also for endpoints that name no scheme, with the authorities of the machine."""
    unverified: bool = False
    """Trust every server, whatever its certificate says."""

    def __bool__(self) -> bool:
        """Return whether an endpoint without a scheme is reached through TLS."""
        return self.required or bool(self.cert or self.key or self.cacert)


@dataclass(frozen=True, slots=True)
class EtcdTarget:
    """Everything that is needed to reach an etcd. Times are in seconds, sizes in bytes."""

    endpoints: tuple[str, ...]
    tls: Tls = Tls()
    user: str = ""
    password: str = ""
    token: str = ""
    """A JSON Web Token; it takes precedence over user and password."""
    dial_timeout: float = 2.0
    command_timeout: float | None = 5.0
    """The deadline of each request in seconds, dialing not included; None waits for ever."""
    keepalive_time: float = 2.0
    keepalive_timeout: float = 6.0
    max_send: int = MAX_SEND_BYTES
    max_receive: int = MAX_RECEIVE_BYTES
    counted: bool = False
    """Whether the bytes that arrive are counted (stores/etcd/arrivals.py)."""


def split_endpoint(endpoint: str, tls: Tls) -> tuple[str, bool]:
    """Return the address in an endpoint as gRPC takes it, HOST:PORT or unix:PATH, and whether it uses TLS.

    http:// is plain, https:// and unixs: are TLS; unix: and what has no scheme are TLS when there are certificates.
    As in etcdctl a missing host is this machine, and user, path and query of a URL are ignored.

    Raises:
        BadArguments: It has another scheme, or is no address.
    """
    kind = endpoint.partition(":")[0].lower()
    if kind in ("unix", "unixs"):
        path = endpoint.partition(":")[2].removeprefix("//")
        if not path:
            raise BadArguments(f"endpoint {endpoint!r} names no socket: unix:///PATH does")
        return f"unix:{path}", kind == "unixs" or bool(tls)
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        kind, rest = "etcd", endpoint.removeprefix("etcd:")
    elif kind in ("etcd", "http", "https"):
        rest = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    else:
        raise BadArguments(f"endpoint {endpoint!r} has the unknown scheme {scheme!r}")
    host, port = split_address(rest, endpoint)
    secure = kind == "https" or (kind == "etcd" and bool(tls))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", secure


def split_address(address: str, endpoint: str) -> tuple[str, int]:
    """Return host, without brackets, and port of HOST[:PORT]; messages name `endpoint`.

    Raises:
        BadArguments: It has no such form.
    """
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", address)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
    elif address.count(":") > 1:
        host, port = _bare(address, endpoint), None
    else:
        host, _, port = address.partition(":")
    if not address or re.search(r"[\s/,\[\]]", host):
        raise BadArguments(f"endpoint {endpoint!r} is no address: HOST:PORT, [IPv6]:PORT or a URL is")
    return host or "localhost", _number(port, endpoint) if port else PORT


def _number(port: str, endpoint: str) -> int:
    """Return the port, which may be the name of a service.

    Raises:
        BadArguments: It is neither a number from 1 to 65535 nor such a name.
    """
    if port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16:
        return int(port)
    import socket  # noqa: PLC0415 - only for names

    try:
        return socket.getservbyname(port, "tcp")
    except (OSError, UnicodeError, ValueError):
        raise BadArguments(f"endpoint {endpoint!r} has {port!r} for a port: a number from 1 to 65535 is one") from None


def _bare(address: str, endpoint: str) -> str:
    """Return an IPv6 address that has neither brackets nor a port.

    Raises:
        BadArguments: It is none, or its end may be a port.
    """
    from ipaddress import AddressValueError, IPv6Address  # noqa: PLC0415 - hardly ever

    head, _, tail = address.rpartition(":")
    try:
        IPv6Address(address)
    except AddressValueError:
        raise BadArguments(f"endpoint {endpoint!r} is no address: HOST:PORT, [IPv6]:PORT or a URL is") from None
    if tail.isdigit() and len(tail) == 4 and "::" in address:  # ::1:2379 reads both ways
        raise BadArguments(f"endpoint {endpoint!r} may or may not have a port: write [{head}]:{tail} or [{address}]")
    return address
