"""TLS of this process's own, where gRPC's is of no use: contexts of Python's ssl module."""

import os
import ssl

from brainctl.errors import InvalidInput
from brainctl.stores.authorities import system_authorities
from brainctl.stores.target import Tls


def verifying(tls: Tls) -> ssl.SSLContext:
    """Return a context that verifies the server, and shows it the client's certificate.

    Raises:
        InvalidInput: A file holds nothing that can be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    try:
        if tls.cacert:
            context.load_verify_locations(tls.cacert)
        else:
            context.load_verify_locations(cadata=system_authorities(os.environ).decode())
    except ssl.SSLError:
        raise InvalidInput(f"--cacert {tls.cacert} holds no certificate in PEM") from None
    if tls.cert:
        _show(context, tls)
    return context


def unverified(tls: Tls) -> ssl.SSLContext:
    """Return a context that asks a server for nothing, and shows it the client's certificate.

    Raises:
        InvalidInput: A file holds nothing that can be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if tls.cert:
        _show(context, tls)
    return context


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    if not tls.key:
        raise InvalidInput("a client certificate needs both --cert and --key")
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidInput(
                f"the key in --key {tls.key} is not that of the certificate in --cert {tls.cert}"
            ) from None
        raise InvalidInput(
            f"--cert {tls.cert} and --key {tls.key} must hold a certificate and its key in PEM, without a password"
        ) from None


def _no_password() -> str:
    return ""
