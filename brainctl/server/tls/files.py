"""The files of a server's TLS: certificate chain, key, authorities, revoked certificates.

Everything that Go reads for etcd is taken: keys in PKCS#1, SEC 1 and PKCS#8 of RSA, ECDSA and Ed25519, with other
blocks before them, chains and bundles of several certificates, a list of revoked certificates in DER, and here also in
PEM.
"""

import re
import ssl
from pathlib import Path
from typing import Final

from cryptography.x509 import load_der_x509_crl, load_pem_x509_crl

from brainctl.errors import BadArguments, next_step

_PEM_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
Stamp = tuple[bytes | tuple[int, ...] | None, ...]


def load_chain(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    """Load a certificate chain and its key into `context`.

    Raises:
        BadArguments: A file cannot be read or used; the text names it.
    """

    def no_password() -> str:
        raise BadArguments(f"cannot use the TLS files: {key_file}: the key is encrypted, and must not be")

    for path, block in ((cert_file, b"CERTIFICATE-----"), (key_file, b"PRIVATE KEY-----")):
        if block not in _read(path):
            raise BadArguments(f"cannot use the TLS files: {path}: there is no block of PEM with {block.decode()[:-5]}")
    try:
        context.load_cert_chain(cert_file, key_file, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadArguments(
                f"cannot use the TLS files: the key in {key_file} is not that of the certificate in {cert_file}"
            ) from error
        raise BadArguments(f"cannot use the TLS files: {cert_file}, {key_file}: {_plain(error)}") from error
    except OSError as error:
        raise BadArguments(f"cannot use the TLS files: {cert_file}, {key_file}: {error.strerror}").advised(
            next_step(error)
        ) from error


def load_authorities(context: ssl.SSLContext, ca_file: str) -> None:
    """Trust the certificates in `ca_file`, also those that are not roots.

    Raises:
        BadArguments: The file cannot be read, or has no certificate.
    """
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = _plain(error) if isinstance(error, ssl.SSLError) else error.strerror
        raise BadArguments(f"cannot use the TLS files: {ca_file}: {reason}").advised(next_step(error)) from error


def revoked_serials(crl_file: str) -> frozenset[int]:
    """Return the serial numbers in the lists of a file, DER as etcd wants it, or PEM; none without a file.

    Raises:
        BadArguments: The file cannot be read.
    """
    if not crl_file:
        return frozenset()
    data = _read(crl_file)
    try:
        pem = _PEM_CRL.findall(data)
        lists = [load_pem_x509_crl(each) for each in pem] if pem else [load_der_x509_crl(data)]
        return frozenset(entry.serial_number for each in lists for entry in each)
    except ValueError as error:
        raise BadArguments(f"cannot use the TLS files: {crl_file}: {error}") from error


def stamp(small: tuple[str, ...], large: str) -> Stamp:
    """Return what changes whenever one of the files does: the bytes of `small`, the stat of `large`.

    Times of modification alone would not do: tar, cp -p and package managers set them.
    """
    found: list[bytes | tuple[int, ...] | None] = []
    for path in small:
        try:
            found.append(Path(path).read_bytes() if path else None)
        except OSError:
            found.append(None)
    try:
        stat = Path(large).stat() if large else None
    except OSError:
        stat = None
    if stat is not None:
        found.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(found)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadArguments(f"cannot use the TLS files: {path}: {error.strerror}").advised(next_step(error)) from error


def _plain(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason without the place in its sources."""
    return (error.reason or "it cannot be read").replace("_", " ").lower()
