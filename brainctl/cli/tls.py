"""TLS towards the pages of a server, as the global flags want it."""

import os
import ssl

from brainctl.cli.settings import Settings
from brainctl.errors import InvalidInput
from brainctl.stores.etcd.authorities import system_authorities


def context(settings: Settings) -> ssl.SSLContext:
    """Return a context with the authorities of --cacert, or of the system, and with the certificate of --cert.

    Raises:
        InvalidInput: A file cannot be used, or there are no authorities.
    """
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC and Go
    if settings.insecure_skip_tls_verify:
        found.check_hostname = False
        found.verify_mode = ssl.CERT_NONE
    elif not settings.cacert:
        found.load_verify_locations(cadata=system_authorities(os.environ).decode("ascii", "ignore"))
    try:
        if settings.cacert:
            found.load_verify_locations(settings.cacert)
        if settings.cert:
            found.load_cert_chain(settings.cert, settings.key or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"cannot use the files of --cacert, --cert and --key: {error.strerror}") from error
    return found
