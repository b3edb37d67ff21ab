"""A certificate authority, for servers and clients that speak TLS."""

import datetime as dt
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

LOOPBACK = IPv4Address("127.0.0.1")
NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
FAR = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
ServerKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass
class Authority:
    """A certificate authority, a root or one that another has signed; its certificate is written to the file `file`."""

    directory: Path
    name: str
    signed_by: "Authority | None" = None

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        parent = self.signed_by or self
        builder = parent._builder(self.subject, self.key, FAR).add_extension(constraints, critical=True)
        self.file = self.directory / f"{self.name}.crt"
        self._write(self.file, builder.sign(parent.key, hashes.SHA256()))

    def issue(self, name: str, until: dt.datetime = FAR, stem: str = "") -> tuple[Path, Path]:
        """A certificate for `name`, which is also good for localhost and 127.0.0.1: its file and that of its key."""
        return self.sign(stem or name, ec.generate_private_key(ec.SECP256R1()), name, until)

    def sign(self, stem: str, key: ServerKey, name: str = "", until: dt.datetime = FAR) -> tuple[Path, Path]:
        """A certificate of `key` as `issue` makes one."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or stem)])
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(LOOPBACK)])
        certificate = self._builder(subject, key, until).add_extension(names, critical=False)
        files = self.directory / f"{stem}.crt", self.directory / f"{stem}.key"
        self._write(files[0], certificate.sign(self.key, hashes.SHA256()))
        form = serialization.PrivateFormat.PKCS8
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return files

    def revoke(self, *certificates: Path) -> bytes:
        """A list, long expired, of revoked certificates: DER."""
        builder = x509.CertificateRevocationListBuilder(self.subject, NOW, NOW)
        for file in certificates:
            serial = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(serial, NOW).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def _builder(self, subject: x509.Name, key: ServerKey, until: dt.datetime) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer_name=self.subject,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=NOW,
            not_valid_after=until,
        )

    @staticmethod
    def _write(path: Path, certificate: x509.Certificate) -> None:
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
