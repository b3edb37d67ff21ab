"""Read the URL of a store on TiKV: tikv://PD[,PD...]/PREFIX[?client=...&cacert=...&cert=...&key=...]."""

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from brainctl.errors import BadArguments, InvalidInput
from brainctl.stores.etcd.target import split_address
from brainctl.tikv.client import Client, ClientKind, Security, open_client

SCHEME = "tikv://"
DEFAULT_PREFIX = "brainctl"
"""The key prefix of a URL that names none."""
CLIENT = "client"
"""The name of the setting that chooses the client."""


class TikvUrl(NamedTuple):
    """The parts of a URL."""

    endpoints: list[str]
    """The addresses of the Placement Driver."""
    prefix: str
    """The key prefix of the store."""
    security: Security = Security()
    """The files for TLS."""
    kind: ClientKind = ClientKind.OWN
    """The client to reach the cluster with."""

    def client(self) -> Client:
        """Return a client of the cluster.

        Raises:
            InvalidInput: a file for TLS cannot be read, or the client cannot be used.
        """
        return open_client(self.endpoints, self.security, self.kind)


def parse_tikv_url(url: str) -> TikvUrl:
    """Return what a URL says.

    Raises:
        InvalidInput: It has another form.
    """
    place, _, query = url.removeprefix(SCHEME).partition("?")
    authority, _, prefix = place.partition("/")
    endpoints = [_with_port(endpoint) for endpoint in authority.split(",") if endpoint]
    if not url.startswith(SCHEME) or not endpoints:
        raise InvalidInput(f"not a TiKV store: {url!r}: tikv://HOST:PORT[,HOST:PORT...]/PREFIX is")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    kind = _kind(settings.pop(CLIENT, ClientKind.OWN.value))
    if unknown := settings.keys() - set(Security._fields):
        known = ", ".join((CLIENT, *Security._fields))
        raise InvalidInput(f"a TiKV store has no setting {min(unknown)!r}: {known} can be given behind the `?`")
    return TikvUrl(endpoints, prefix.strip("/") or DEFAULT_PREFIX, Security(**settings), kind)


def with_client(url: str, name: str) -> str:
    """Return the URL with another client than it says, by its name."""
    place, _, query = url.partition("?")
    settings = {**dict(parse_qsl(query, keep_blank_values=True)), CLIENT: name}
    return f"{place}?{urlencode(settings)}"


def _kind(name: str) -> ClientKind:
    try:
        return ClientKind(name)
    except ValueError:
        known = " or ".join(kind.value for kind in ClientKind)
        raise InvalidInput(f"there is no TiKV client {name!r}: {known} is") from None


def _with_port(endpoint: str) -> str:
    """Return an address with its port, an IPv6 address in brackets.

    Raises:
        InvalidInput: It is no address.
    """
    try:
        host, port = split_address(endpoint.strip(), endpoint)
    except BadArguments as error:
        raise InvalidInput(str(error)) from None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
