"""TLS towards the pages of a server, as the global flags want it."""

import ssl

from brainctl.config import Settings


def context(settings: Settings) -> ssl.SSLContext:
    """With the authority of --cacert, the certificate of --cert, and no look at the server's if that was asked for."""
    found = ssl.create_default_context(cafile=settings.cacert or None)
    if settings.insecure_skip_tls_verify:
        found.check_hostname = False
        found.verify_mode = ssl.CERT_NONE
    if settings.cert:
        found.load_cert_chain(settings.cert, settings.key)
    return found
