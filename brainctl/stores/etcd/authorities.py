"""The certificate authorities that servers are verified with by default: those of the system, as in Go.

gRPC has a list of its own, without what the machine's administrator has added or removed.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final

from brainctl.errors import InvalidInput

_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_DIRECTORIES: Final = ("/etc/ssl/certs", "/etc/pki/tls/certs")
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def system_authorities(environ: Mapping[str, str]) -> bytes:
    """Return the certificates of the system's authorities, as PEM blocks, each once.

    SSL_CERT_FILE names a file instead of the usual ones, SSL_CERT_DIR directories, with colons between, instead of the
    usual ones. Unreadable files are skipped.

    Raises:
        InvalidInput: There is none.
    """
    named_file, named_directories = environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", "")
    texts = list(_first((named_file,) if named_file else _FILES))
    if named_directories or named_file or not texts:  # the usual file has all that is in the usual directories
        directories = named_directories.split(":") if named_directories else _DIRECTORIES
        texts += chain.from_iterable(map(_all, directories))
    found = dict.fromkeys(block for text in texts for block in _CERTIFICATE.findall(text))
    if not found:
        raise InvalidInput(
            "this system has no certificate authorities to verify the server with: name a file of them with --cacert"
        )
    return b"\n".join(found) + b"\n"


def _first(paths: tuple[str, ...]) -> Iterator[bytes]:
    """Yield the content of the first file that can be read."""
    for path in paths:
        try:
            yield Path(path).read_bytes()
        except OSError:
            continue
        return


def _all(directory: str) -> Iterator[bytes]:
    """Yield the content of each file of a directory once, also when links lead to it."""
    try:
        paths = {path.resolve(): None for path in sorted(Path(directory).iterdir())}
    except OSError:
        return
    for path in paths:
        yield from _first((str(path),))
