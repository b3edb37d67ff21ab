"""HTTP proxies from the environment, by the rules of Go's ProxyFromEnvironment, which etcdctl follows.

HTTPS_PROXY (for gRPC, with or without TLS) and HTTP_PROXY (for plain HTTP) name a proxy, in upper or lower case.
No proxy is used for loopback addresses and localhost, nor for what NO_PROXY lists.
"""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, unquote, urlsplit

_PORT = 443
"""The port of a proxy that names none, as in Go's gRPC."""


def proxy_of(host: str, port: str, environ: Mapping[str, str], *, plain_http: bool = False) -> SplitResult | None:
    """Return the URL of the proxy through which `host`, without brackets, is reached at `port`; None for none."""
    name = "HTTP_PROXY" if plain_http else "HTTPS_PROXY"
    given = environ.get(name) or environ.get(name.lower(), "")
    if not given or _is_direct(host.lower().strip(), port, environ.get("NO_PROXY") or environ.get("no_proxy", "")):
        return None
    url = urlsplit(given if "://" in given else f"http://{given}")
    with suppress(ValueError):  # the port is not a number: Go uses no proxy then either
        if url.hostname and url.port != 0:
            return url
    return None


def authority(proxy: SplitResult) -> tuple[str, int]:
    """Return host and port of a proxy."""
    return proxy.hostname or "", proxy.port or _PORT


def grpc_uri(proxy: SplitResult) -> str:
    """Return the proxy as gRPC for Python takes it: it knows no scheme but http, as CONNECT is sent without TLS."""
    host, port = authority(proxy)
    user = f"{proxy.netloc.rpartition('@')[0]}@" if "@" in proxy.netloc else ""
    return f"http://{user}{f'[{host}]' if ':' in host else host}:{port}"


def credentials(proxy: SplitResult) -> str:
    """Return the header line that authenticates the user to the proxy; "" when its URL has none."""
    if not proxy.username:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"


def _is_direct(host: str, port: str, exceptions: str) -> bool:
    """Return whether a host is reached without a proxy: loopback, localhost, or named in NO_PROXY."""
    address = _address(host)
    if host == "localhost" or (address is not None and (address.is_loopback or address.is_unspecified)):
        return True
    return any(_matches(entry.strip().lower(), host, address, port) for entry in exceptions.split(","))


def _matches(entry: str, host: str, address: IPv4Address | IPv6Address | None, port: str) -> bool:
    """Return whether an entry of NO_PROXY names the host: `*`, a network, or an address or domain, with or without
    port.
    """
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, only = _split_port(entry)
    if not name or (only and only != port):
        return False
    if address is not None:
        return _address(name) == address
    domain = name.removeprefix("*")
    return host == domain or host.endswith(domain if domain.startswith(".") else f".{domain}")


def _split_port(entry: str) -> tuple[str, str]:
    """Return the host of an entry, without brackets, and its port; "" for any."""
    if _address(entry) is not None:
        return entry, ""
    host, colon, port = entry.rpartition(":")
    return (host.strip("[]"), port) if colon else (entry.strip("[]"), "")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a text, an IPv4 address mapped into IPv6 as IPv4; None when it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
