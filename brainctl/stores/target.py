"""Which etcd to talk to, and how: endpoints, TLS, credentials, limits."""

from dataclasses import dataclass

from brainctl.errors import BadArguments

MAX_SEND_BYTES = 2 * 1024 * 1024
MAX_RECEIVE_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates by file name; "" where there is none."""

    cert: str = ""
    key: str = ""
    cacert: str = ""
    required: bool = False
    """TLS also for endpoints that name no scheme, with the roots of the machine."""
    unverified: bool = False
    """Believe every server, whatever its certificate says."""

    def __bool__(self) -> bool:
        """Whether an endpoint without a scheme is reached through TLS."""
        return self.required or bool(self.cert or self.key or self.cacert)


@dataclass(frozen=True, slots=True)
class EtcdTarget:
    """Everything that reaching an etcd needs. Times are in seconds."""

    endpoints: tuple[str, ...]
    tls: Tls = Tls()
    user: str = ""
    password: str = ""
    token: str = ""
    """A JSON web token; wins over user and password."""
    dial_timeout: float = 2.0
    command_timeout: float | None = 5.0
    """For each request, dialing not included; None waits for ever."""
    keepalive_time: float = 2.0
    keepalive_timeout: float = 6.0
    max_send: int = MAX_SEND_BYTES
    max_receive: int = MAX_RECEIVE_BYTES


def split_endpoint(endpoint: str, tls: Tls) -> tuple[str, bool]:
    """The address in an endpoint as gRPC takes it, and whether to reach it through TLS.

    http:// and unix:// are plain, https:// and unixs:// are TLS; without a scheme it is TLS when there are
    certificates. Raises BadArguments for any other scheme.
    """
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        return _with_port(endpoint.removeprefix("etcd:")), bool(tls)
    address = rest.rstrip("/")
    if scheme == "etcd":
        return _with_port(address), bool(tls)
    if scheme in ("http", "https"):
        return _with_port(address), scheme == "https"
    if scheme in ("unix", "unixs"):
        return f"unix:{address}", scheme == "unixs"
    raise BadArguments(f"endpoint {endpoint!r} has the unknown scheme {scheme!r}")


def _with_port(address: str) -> str:
    if not address:
        raise BadArguments("an endpoint is empty")
    host, colon, _port = address.rpartition(":")
    if colon and (host.endswith("]") or ":" not in host):
        return address
    return f"{address}:2379"
