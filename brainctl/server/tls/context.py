"""TLS of the server: certificates from files, renewed without a restart, and which clients may come in.

Names and defaults are those of etcd's flags (etcd client/pkg/transport/listener.go): TLS 1.2 is the oldest version,
cipher suites have their IANA names.
"""

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from brainctl.errors import BadArguments
from brainctl.log import Fact
from brainctl.server.tls.files import load_authorities, load_chain, revoked_serials, stamp
from brainctl.server.tls.suites import ciphers

_log = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 10
"""A client that has not finished its handshake by then is disconnected."""
VERSIONS: Final = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
Certificate = dict[str, object]
"""A verified certificate as `getpeercert` gives it."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files and rules; "" where there is none."""

    cert_file: str
    key_file: str
    trusted_ca_file: str = ""
    """The authorities of client certificates: with them, clients must show one, as in etcd."""
    client_cert_auth: bool = False
    """Clients must show a certificate of a trusted authority, of the system's ones without `trusted_ca_file`; its
    common name is a user's."""
    crl_file: str = ""
    allowed_cn: str = ""
    """The common name that client certificates must have."""
    allowed_hostnames: tuple[str, ...] = ()
    """Host names or addresses; client certificates must be good for one of them."""
    cipher_suites: tuple[str, ...] = ()
    min_version: str = ""
    max_version: str = ""


class ServerTls:
    """The TLS side of a listening socket."""

    def __init__(self, options: TlsOptions, protocols: Sequence[str] = ("h2", "http/1.1")) -> None:
        """Load the files; `protocols` are offered to clients (ALPN).

        Raises:
            BadArguments: Files that cannot be used, or rules that do not fit together.
        """
        self._options = options
        self._protocols = protocols
        self._stamp = self._files()
        self._newest = _context(options, protocols)
        self._revoked = revoked_serials(options.crl_file)
        self.context = self._newest
        """Context for listening; each handshake uses what is in the files by then."""
        self.context.sni_callback = self._begin_handshake

    def refresh(self) -> None:
        """Take up renewed certificates and a renewed list of revoked ones; new connections get them.

        What cannot be loaded leaves the old in use.
        """
        found = self._files()
        if found == self._stamp:
            return
        self._stamp = found
        try:
            self._newest, self._revoked = (
                _context(self._options, self._protocols),
                revoked_serials(self._options.crl_file),
            )
        except BadArguments as error:
            _log.warning(Fact("the renewed certificate is not used", error=error))
        else:
            _log.info(Fact("the certificate was renewed"))

    def for_monitoring(self) -> "ServerTls":
        """Return a context with this one's certificates for a listener that speaks HTTP/1.1 only."""
        return ServerTls(self._options, ("http/1.1",))

    def permits(self, certificate: Certificate | None) -> bool:
        """Return whether a client with this verified certificate may come in.

        Like etcd, it looks up the serial number alone: an expired list still counts (client/pkg/transport).
        """
        options = self._options
        if certificate and int(str(certificate["serialNumber"]), 16) in self._revoked:
            return False
        if options.allowed_cn and common_name(certificate) != options.allowed_cn:
            return False
        names = options.allowed_hostnames
        return not names or any(_is_good_for(certificate or {}, name) for name in names)

    def user(self, certificate: Certificate | None) -> str | None:
        """Return the user that a client is by its verified certificate, where certificates say who a client is."""
        return common_name(certificate) if self._options.client_cert_auth else None

    def _begin_handshake(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Serve a new connection with what is in the files now; called with or without a name from the client."""
        self.refresh()
        if connection.context is not self._newest:
            connection.context = self._newest

    def _files(self) -> tuple[object, ...]:
        options = self._options
        return stamp((options.cert_file, options.key_file, options.trusted_ca_file), options.crl_file)


def common_name(certificate: Certificate | None) -> str | None:
    """Return the common name in a certificate, None without one."""
    subject = (certificate or {}).get("subject", ())
    assert isinstance(subject, tuple)
    names = [value for group in subject for key, value in group if key == "commonName"]
    return names[0] if names else None


def _is_good_for(certificate: Certificate, name: str) -> bool:
    """Return whether a certificate names a host or an address among its alternative names; "*." is one label."""
    names = certificate.get("subjectAltName", ())
    assert isinstance(names, tuple)
    try:
        wanted = ip_address(name.strip("[]"))
    except ValueError:
        lower = name.lower().rstrip(".")
        _, _, parent = lower.partition(".")
        known = {value.lower().rstrip(".") for kind, value in names if kind == "DNS"}
        return bool(lower) and (lower in known or bool(parent and f"*.{parent}" in known))
    return any(kind == "IP Address" and ip_address(value) == wanted for kind, value in names)


def _context(options: TlsOptions, protocols: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _choose_versions(context, options)
    context.set_alpn_protocols(protocols)
    wants_certificates = options.client_cert_auth or bool(options.trusted_ca_file)
    if not wants_certificates and (options.allowed_cn or options.allowed_hostnames):
        flag = "--allowed-cn" if options.allowed_cn else "--client-cert-allowed-hostname"
        raise BadArguments(f"{flag} needs --trusted-ca-file or --client-cert-auth: clients show no certificate")
    load_chain(context, options.cert_file, options.key_file)
    if wants_certificates:
        if options.trusted_ca_file:
            load_authorities(context, options.trusted_ca_file)
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority that is no root is trusted, as by Go
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _choose_versions(context: ssl.SSLContext, options: TlsOptions) -> None:
    least, most = options.min_version or "TLS1.2", options.max_version
    context.minimum_version = _version(least)
    if most:
        context.maximum_version = _version(most)
        if context.maximum_version < context.minimum_version:
            raise BadArguments(f"min version ({least}) is greater than max version ({most})")
    if not options.cipher_suites:
        return
    chosen = ciphers(options.cipher_suites)
    if chosen:
        context.set_ciphers(chosen)
    elif most == "TLS1.2":
        raise BadArguments("--cipher-suites: all of them belong to TLS 1.3, and --tls-max-version rules that out")
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _version(name: str) -> ssl.TLSVersion:
    if name not in VERSIONS:
        raise BadArguments(f"unexpected TLS version {name!r} (must be one of: {', '.join(VERSIONS)})")
    return VERSIONS[name]
