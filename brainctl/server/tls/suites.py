"""Cipher suites of TLS by IANA name, as --cipher-suites takes them (etcd client/pkg/tlsutil).

Those of TLS 1.3 are always offered, all three: neither Go nor OpenSSL's interface in Python lets them be chosen.
"""

import logging
from typing import Final

from brainctl.errors import BadArguments
from brainctl.log import Fact

_log = logging.getLogger(__name__)

_TLS_1_3: Final = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
_STRONG: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""Forward secrecy and authenticated encryption; two suites have a second, older name in etcd."""
_OLD: Final = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
}
"""Without one of the two; served where they are named."""
_BROKEN: Final = {
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
}
"""RC4 and 3DES, which OpenSSL does not have any more."""
NAMES: Final = frozenset((*_TLS_1_3, *_STRONG, *_OLD, *_BROKEN))
"""Every name that etcd takes."""


def ciphers(names: tuple[str, ...]) -> str:
    """Return the suites of TLS 1.2 among `names` as OpenSSL writes them, "" when TLS 1.3 alone is left.

    Suites that are old or that no client gets are said in the log.

    Raises:
        BadArguments: A name that etcd does not know either, or nothing is left that can be served.
    """
    for name in names:
        if name not in NAMES:
            raise BadArguments(f"--cipher-suites: unexpected TLS cipher suite {name!r}")
    old = [name for name in names if name in _OLD]
    if old:
        _log.warning(Fact("cipher suites lack forward secrecy or authenticated encryption", suites=", ".join(old)))
    broken = [name for name in names if name in _BROKEN]
    if broken:
        _log.warning(Fact("cipher suites are not served: RC4 and 3DES are broken", suites=", ".join(broken)))
    served = [(_STRONG | _OLD)[name] for name in names if name in _STRONG or name in _OLD]
    if not served and not any(name in _TLS_1_3 for name in names):
        raise BadArguments("--cipher-suites: none of these cipher suites can be served")
    return ":".join(served)
