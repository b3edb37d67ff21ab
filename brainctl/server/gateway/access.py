"""Who may reach the gateway through a browser: nobody, unless it was allowed.

A page of some other site can make its visitor's browser send requests to this machine. Two things give it away. Its
requests carry the site's origin (CVE-2018-1098). Or, where the site had its own name resolve to this machine, so that
the browser takes both for one site, they carry that name as Host (CVE-2018-1099). Either way they carry at least one
field that browsers add to every POST and that no page can take away; a request without any of them is a program's.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"
_LOCAL: Final = frozenset({"localhost", ""})
_BROWSER: Final = ("origin", "referer", "sec-fetch-site")
_SAME_SITE: Final = frozenset({"", "same-origin", "none"})

MISDIRECTED: Final = (
    421,
    "the Host header names a host that is not known here; allow it with --host-whitelist, or use the address",
)


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """Origins and hosts that are allowed, besides programs and pages of this server by address or as localhost."""

    host_whitelist: Collection[str] = ()
    """Host names by which the server may be called without TLS, "*" for any; over TLS the certificate proves it.
    Without any, programs may use every name, and browsers none."""
    cors: Collection[str] = ()
    """Origins ("https://console.example") whose pages may use the gateway; "*" for any."""
    enabled: bool = True
    """There is a gateway."""

    def refusal(self, fields: Mapping[str, str], *, secure: bool) -> tuple[int, str] | None:
        """Return why a request is refused, as HTTP status and text; None when it is not."""
        is_program = not any(fields.get(name) for name in _BROWSER)
        if not secure and not (is_program and not self.host_whitelist) and not self._is_known(fields.get("host", "")):
            return MISDIRECTED
        if self.allowed_origin(fields) is None and self._is_foreign(fields, secure=secure):
            return 403, "requests of other sites are not served; allow their origin with --cors"
        return None

    def allowed_origin(self, fields: Mapping[str, str]) -> str | None:
        """Return the origin of a request if --cors allows it, else None."""
        origin = fields.get("origin", "")
        if origin and (ANY in self.cors or origin in self.cors):
            return origin
        return None

    def _is_known(self, host: str) -> bool:
        name = _host_name(host)
        return name in _LOCAL or ANY in self.host_whitelist or name in self.host_whitelist or _is_address(name)

    def _is_foreign(self, fields: Mapping[str, str], *, secure: bool) -> bool:
        """Return whether a browser sent this for a page that is not of this server."""
        if fields.get("sec-fetch-site", "") not in _SAME_SITE:
            return True
        origin = fields.get("origin") or fields.get("referer")
        if not origin:
            return False
        parts = urlsplit(origin)
        return (parts.scheme, parts.netloc.lower()) != ("https" if secure else "http", fields.get("host", "").lower())


def _host_name(host: str) -> str:
    """Return a Host header without its port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
