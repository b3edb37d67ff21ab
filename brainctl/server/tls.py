"""TLS of the server: certificates from files, renewed without a restart, and which clients may come in.

Names and defaults are those of etcd's flags (etcd client/pkg/transport/listener.go): TLS 1.2 is the oldest version,
cipher suites have their IANA names, and those of TLS 1.3 cannot be chosen.
"""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.x509 import load_der_x509_crl, load_pem_x509_crl

from brainctl.errors import BadArguments

_log = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 10
"""A client that has not finished its handshake by then is disconnected."""
VERSIONS: Final = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
_NO_CHOICE: Final = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
CIPHER_SUITES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""The suites of TLS 1.2 that have forward secrecy and authenticated encryption, by IANA name, and two by the names that
etcd had for them before (client/pkg/tlsutil)."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files and rules; "" where there is none."""

    cert_file: str
    key_file: str
    trusted_ca_file: str = ""
    client_cert_auth: bool = False
    """Clients must show a certificate that the trusted CA signed."""
    crl_file: str = ""
    allowed_cn: str = ""
    """The common name that client certificates must have."""
    cipher_suites: tuple[str, ...] = ()
    min_version: str = "TLS1.2"
    max_version: str = ""


class ServerTls:
    """The TLS side of a listening socket."""

    def __init__(self, options: TlsOptions) -> None:
        """BadArguments for files that cannot be used and for rules that do not fit together."""
        self._options = options
        self.context = _context(options)
        self._revoked = _revoked(options.crl_file)
        self._stamp = self._files()

    def refresh(self) -> None:
        """Take up a renewed certificate and a renewed list of revoked ones; new connections get them.

        What cannot be loaded leaves the old in use.
        """
        stamp = self._files()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.context.load_cert_chain(self._options.cert_file, self._options.key_file)
            self._revoked = _revoked(self._options.crl_file)
        except (OSError, ssl.SSLError, BadArguments) as error:
            _log.warning("the renewed certificate is not used: %s", error)
        else:
            _log.info("the certificate was renewed")

    def permits(self, certificate: dict[str, object] | None) -> bool:
        """Whether a client with this verified certificate, as `getpeercert` gives it, may come in.

        Like etcd, it looks up the serial number alone: an expired list still counts (client/pkg/transport).
        """
        if certificate and int(str(certificate["serialNumber"]), 16) in self._revoked:
            return False
        return not self._options.allowed_cn or common_name(certificate) == self._options.allowed_cn

    def user(self, certificate: dict[str, object] | None) -> str | None:
        """The user that a client is by its verified certificate, where every client has to show one."""
        return common_name(certificate) if self._options.client_cert_auth else None

    def _files(self) -> tuple[int, ...]:
        stamp = []
        for path in (self._options.cert_file, self._options.key_file, self._options.crl_file):
            try:
                stamp.append(Path(path).stat().st_mtime_ns)
            except OSError:
                stamp.append(0)
        return tuple(stamp)


def common_name(certificate: dict[str, object] | None) -> str | None:
    """The common name in a verified certificate as `getpeercert` gives it, None without one."""
    subject = (certificate or {}).get("subject", ())
    assert isinstance(subject, tuple)
    names = [value for group in subject for key, value in group if key == "commonName"]
    return names[0] if names else None


def _context(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _version(options.min_version)
    if options.max_version:
        context.maximum_version = _version(options.max_version)
        if context.maximum_version < context.minimum_version:
            raise BadArguments(
                f"min version ({options.min_version}) is greater than max version ({options.max_version})"
            )
    if options.cipher_suites:
        context.set_ciphers(_ciphers(options.cipher_suites))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if options.allowed_cn and not options.client_cert_auth:
        raise BadArguments("--allowed-cn needs --client-cert-auth")
    if options.client_cert_auth and not options.trusted_ca_file:
        raise BadArguments("--client-cert-auth needs --trusted-ca-file")
    try:
        context.load_cert_chain(options.cert_file, options.key_file)
        if options.trusted_ca_file:
            context.load_verify_locations(options.trusted_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED if options.client_cert_auth else ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise BadArguments(f"cannot use the TLS files: {error.strerror or error}") from error
    return context


def _revoked(crl_file: str) -> frozenset[int]:
    """The serial numbers in a list of revoked certificates, DER as etcd wants it, or PEM; BadArguments."""
    if not crl_file:
        return frozenset()
    try:
        data = Path(crl_file).read_bytes()
        load = load_pem_x509_crl if data.startswith(b"-----BEGIN") else load_der_x509_crl
        return frozenset(certificate.serial_number for certificate in load(data))
    except (OSError, ValueError) as error:
        raise BadArguments(f"cannot use the TLS files: {crl_file}: {error}") from error


def _version(name: str) -> ssl.TLSVersion:
    if name not in VERSIONS:
        raise BadArguments(f"unexpected TLS version {name!r} (must be one of: {', '.join(VERSIONS)})")
    return VERSIONS[name]


def _ciphers(names: tuple[str, ...]) -> str:
    for name in names:
        if name in _NO_CHOICE:
            raise BadArguments(f"{name} belongs to TLS 1.3, whose cipher suites cannot be chosen")
        if name not in CIPHER_SUITES:
            raise BadArguments(f"unexpected TLS cipher suite {name!r}: unknown, or too weak")
    return ":".join(CIPHER_SUITES[name] for name in names)
