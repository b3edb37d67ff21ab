"""Why an endpoint cannot be reached, found by another attempt without gRPC: gRPC's texts are those of its core, and do
not say which flag would help.
"""

import socket
import ssl
from contextlib import closing
from typing import Final

from brainctl.stores.contexts import unverified, verifying
from brainctl.stores.etcd.target import Tls

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The first bytes of an HTTP/2 client, with empty settings."""
_TLS_ALERT: Final = b"\x15\x03"
"""The first two bytes of a TLS alert: a server of TLS answers plain text with one."""
_USE_TLS: Final = (
    "the server speaks TLS there: write https:// before the endpoint, and name its authority with --cacert"
)
_USE_PLAIN: Final = "the server does not speak TLS there: write http:// before the endpoint"
_NO_ETCD: Final = "what listens there speaks HTTP/1 and no gRPC: it is no server of etcd's API"
_CLOSED: Final = "the server closed the connection at once: is it a server of etcd's API?"
_AFTERWARDS: Final = "the server closed the connection after the TLS handshake: it may"
_DEMANDED: Final = f"{_AFTERWARDS} demand a client certificate (--cert and --key)"
_NOT_ACCEPTED: Final = f"{_AFTERWARDS} not accept the client certificate of --cert"
_UNKNOWN_KIND: Final = (
    "the server was reached, but gRPC came to no agreement with it: try again; its certificate may be of a kind that "
    "gRPC does not know, such as Ed25519"
)
_ALERTS: Final = (
    ("CERTIFICATE_REQUIRED", "the server demands a client certificate: name one with --cert and --key"),
    (
        "HANDSHAKE_FAILURE",
        "the server refuses the TLS handshake: it may demand a client certificate (--cert and --key)",
    ),
    ("CERTIFICATE_EXPIRED", "the client certificate of --cert has expired"),
    ("CERTIFICATE_REVOKED", "the client certificate of --cert has been revoked"),
    ("UNKNOWN_CA", "the server does not know the authority of the client certificate of --cert"),
    ("CERTIFICATE", "the server does not accept the client certificate of --cert"),
    ("PROTOCOL_VERSION", "the server speaks another version of TLS: 1.2 and 1.3 are known"),
    ("INTERNAL_ERROR", "the server failed in the TLS handshake: see its log"),
)
"""The meaning of a TLS alert of the server: the first entry that occurs in its name decides."""
_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH, _NOT_YET, _EXPIRED = 62, 64, 9, 10
_UNTRUSTED: Final = frozenset((18, 19, 20, 21, 2))
"""OpenSSL's verify codes for a certificate whose issuer is unknown or which is signed by itself."""


def diagnose(address: str, tls: Tls, *, secure: bool, seconds: float) -> str:
    """Return in one sentence why HOST:PORT or unix:PATH cannot be reached, by TLS if `secure`.

    It blocks, so call it on a thread. It waits at most `seconds` for each answer.
    """
    try:
        return _encrypted(address, seconds, tls) if secure else _plain(address, seconds)
    except ssl.SSLError as error:
        return _handshake(error, address, tls)
    except OSError as error:
        return _unreached(error, address)


def _encrypted(address: str, seconds: float, tls: Tls) -> str:
    """Return why a server cannot be reached through TLS.

    Raises:
        OSError: The connection or the TLS handshake failed (ssl.SSLError is one).
    """
    context = unverified(tls) if tls.unverified else verifying(tls)
    try:
        said = _first_bytes(address, seconds, context)
    except ConnectionRefusedError:
        raise
    except (ssl.SSLEOFError, ConnectionError):  # it closed the connection on the TLS handshake
        return _USE_PLAIN if _first_bytes(address, seconds) else _CLOSED
    if said:
        return _NO_ETCD if said.startswith(b"HTTP/1") else _UNKNOWN_KIND
    return _NOT_ACCEPTED if tls.cert else _DEMANDED


def _first_bytes(address: str, seconds: float, context: ssl.SSLContext | None = None) -> bytes:
    """Return the first bytes of the server.

    Empty when it closes the connection (after the handshake if there is one).
    """
    with closing(_connect(address, seconds)) as plain:
        host = "localhost" if address.startswith("unix:") else address.rpartition(":")[0].strip("[]")
        encrypted = context.wrap_socket(plain, server_hostname=host) if context else plain
        with closing(encrypted):
            try:
                encrypted.sendall(_PREFACE)
                return encrypted.recv(1024)
            except ConnectionError:
                return b""


def _connect(address: str, seconds: float) -> socket.socket:
    """Return a connected socket to HOST:PORT or unix:PATH."""
    if not address.startswith("unix:"):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        connection.connect(address.removeprefix("unix:"))
    except BaseException:
        connection.close()
        raise
    return connection


def _plain(address: str, seconds: float) -> str:
    """Return why a server cannot be reached without TLS."""
    said = _first_bytes(address, seconds)
    if said.startswith(_TLS_ALERT) or (said.startswith(b"HTTP/1") and b"HTTPS" in said):
        return _USE_TLS
    if said:
        return _NO_ETCD if said.startswith(b"HTTP/1") else _UNKNOWN_KIND
    try:
        _first_bytes(address, seconds, unverified(Tls()))
    except ssl.SSLError as error:
        return _USE_TLS if "ALERT" in (error.reason or "").upper() else _CLOSED
    except OSError:
        return _CLOSED
    return _USE_TLS


def _handshake(error: ssl.SSLError, address: str, tls: Tls) -> str:
    """Return what a failed handshake means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error, address, tls)
    name = (error.reason or "").upper()
    if "ALERT" in name:
        return next(
            (text for part, text in _ALERTS if part in name), "the server refuses the TLS handshake: see its log"
        )
    return _USE_PLAIN


def _unverified(error: ssl.SSLCertVerificationError, address: str, tls: Tls) -> str:
    """Return why the certificate of the server was not accepted."""
    host = address.rpartition(":")[0].strip("[]")
    code = error.verify_code
    if code in (_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH):
        return f"the certificate of the server is not for {host}: use one of the names that it is for in the endpoint"
    if code in (_EXPIRED, _NOT_YET):
        state = "has expired" if code == _EXPIRED else "is not valid yet"
        return f"the certificate of the server {state}: renew it, or check the clocks"
    if code in _UNTRUSTED:
        authority = f"the authority in --cacert {tls.cacert}" if tls.cacert else "an authority of this system"
        return f"the certificate of the server is not of {authority}: name its authority with --cacert"
    return f"the certificate of the server cannot be verified: {error.verify_message}"


def _unreached(error: OSError, address: str) -> str:
    """Return what it means that there is no connection at all."""
    place = address.removeprefix("unix:")
    name = place.rpartition(":")[0]
    kinds = (
        (socket.gaierror, f"there is no address for the name {name}: check it, or the name server"),
        (TimeoutError, "it does not answer"),
        (
            ConnectionRefusedError,
            "nobody listens there (connection refused): check that the server runs, and the endpoint",
        ),
        (FileNotFoundError, f"there is no socket at {place}"),
        (PermissionError, f"{place} may not be used by this user"),
        (ConnectionError, _CLOSED),
    )
    plain = (error.strerror or str(error)).lower()
    return next((sentence for kind, sentence in kinds if isinstance(error, kind)), plain)
