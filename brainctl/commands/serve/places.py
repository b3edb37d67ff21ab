"""The addresses at which a server listens, and the URLs by which others find it."""

import re
from collections.abc import Sequence
from typing import Final

from brainctl.commands.serve.settings import ServeSettings
from brainctl.errors import BadArguments

PLAIN: Final = ("http://", "unix://")
_TLS: Final = ("https://", "unixs://")
_ADVERTISED: Final = re.compile(r"(?:https?://[^/]+:[0-9]+/?|unixs?:.+)")
_WILDCARD: Final = re.compile(r"https?://(?:0\.0\.0\.0|\[::\]|)(?::[0-9]*)?/?$")
_PEER: Final = re.compile(r"https?://[^/?#\s]+:[0-9]+/?")


def listening(settings: ServeSettings, *, has_tls: bool) -> str:
    """Return the addresses to listen at, with commas between.

    A scheme says what is served: http:// beside https:// is plain text. Plain text alone is not served where there is
    a certificate, which would go unused.

    Raises:
        BadArguments: There is no address, or one wants TLS without a certificate.
    """
    client = settings.texts("listen-client-urls")
    if not client:
        raise BadArguments("--listen-client-urls: an address is wanted")
    listen = (*client, *settings.texts("listen-client-http-urls"))
    _check_tls("--listen-client-urls", listen, has_tls=has_tls)
    if has_tls and all(address.startswith(PLAIN) for address in listen):
        raise BadArguments("--listen-client-urls is without TLS, and --cert-file is for it")
    return ",".join(dict.fromkeys(listen))


def metrics(settings: ServeSettings, *, has_tls: bool) -> str:
    """Return the addresses that serve metrics and health alone, with commas between.

    Raises:
        BadArguments: One wants TLS without a certificate.
    """
    listen = settings.texts("listen-metrics-urls")
    _check_tls("--listen-metrics-urls", listen, has_tls=has_tls)
    return ",".join(dict.fromkeys(listen))


def advertised(settings: ServeSettings) -> tuple[str, ...]:
    """Return the client URLs of the member list.

    Raises:
        BadArguments: One is not a URL that clients can connect to.
    """
    return _urls(settings, "advertise-client-urls", _ADVERTISED)


def peers(settings: ServeSettings) -> tuple[str, ...]:
    """Return the peer URLs of the member list.

    Raises:
        BadArguments: One is not such a URL.
    """
    return _urls(settings, "initial-advertise-peer-urls", _PEER)


def urls_of(listen: str, bound: str, *, has_tls: bool) -> list[str]:
    """Return the URLs at which addresses are reached: `bound` has those of `listen` with the ports that were taken."""
    urls = []
    for given, address in zip(listen.split(","), bound.split(","), strict=True):
        scheme = "https" if has_tls and not given.startswith(PLAIN) else "http"
        urls.append(address if "://" in address else f"{scheme}://{address}")
    return urls


def reaching_nobody(urls: Sequence[str]) -> str:
    """Return the first URL that names no address of this machine, such as http://0.0.0.0:2379; "" when all do."""
    return next((url for url in urls if _WILDCARD.match(url)), "")


def _urls(settings: ServeSettings, name: str, kind: re.Pattern[str]) -> tuple[str, ...]:
    urls = settings.texts(name)
    for url in urls:
        if not kind.fullmatch(url):
            raise BadArguments(f"--{name}: {url!r} is not http://HOST:PORT or https://HOST:PORT")
    return urls


def _check_tls(flag: str, listen: tuple[str, ...], *, has_tls: bool) -> None:
    if not has_tls and any(address.startswith(_TLS) for address in listen):
        raise BadArguments(f"{flag} is for TLS: --cert-file and --key-file are missing")
