"""TLS contexts of Python's ssl module, for connections that gRPC cannot make or explain."""

import os
import ssl
from pathlib import Path

from brainctl.errors import BadArguments, InvalidInput, next_step
from brainctl.stores.etcd.authorities import system_authorities
from brainctl.stores.etcd.target import Tls


def require_files(tls: Tls) -> None:
    """Check the files of certificates and keys before anything is connected.

    Raises:
        BadArguments: One cannot be read or used, or a certificate lacks its key; the exit code is etcdctl's.
    """
    if bool(tls.cert) != bool(tls.key):
        raise BadArguments("a client certificate needs both --cert and --key")
    for path in (tls.cacert, tls.cert, tls.key):
        if path:
            try:
                Path(path).read_bytes()
            except OSError as error:
                raise BadArguments(f"cannot read {path}: {error.strerror}").advised(next_step(error)) from error
    try:
        _ = verifying(tls) if tls.cacert else unverified(tls)
    except InvalidInput as error:
        raise BadArguments(str(error)) from None


def verifying(tls: Tls) -> ssl.SSLContext:
    """Return a context that verifies the server, and presents the client's certificate to it.

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
    """Return a context that does not verify the server, and presents the client's certificate to it.

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
    """Load the client's certificate and key into a context.

    Raises:
        InvalidInput: The key is missing, does not belong to the certificate, or a file is not usable.
    """
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
