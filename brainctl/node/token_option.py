"""The value of --auth-token: which tokens a node gives out, and with which keys (etcd server/auth/options.go)."""

import re
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import load_pem_x509_certificate

from brainctl.clock import Clock
from brainctl.errors import BadArguments
from brainctl.node.tokens import (
    SIMPLE_TTL_SECONDS,
    JwtTokens,
    NoTokens,
    PrivateKey,
    PublicKey,
    SimpleTokens,
    Tokens,
)

JWT_TTL_SECONDS = 300.0
_KEYS: dict[str, tuple[type[PrivateKey], type[PublicKey]]] = {
    "RS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "PS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "ES": (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey),
    "Ed": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
}
METHODS = frozenset({f"{family}{bits}" for family in ("RS", "PS", "ES", "HS") for bits in (256, 384, 512)} | {"EdDSA"})
"""Values of the option sign-method."""


def tokens_of(option: str, clock: Clock, simple_ttl_seconds: float = SIMPLE_TTL_SECONDS) -> Tokens:
    """The tokens that a value of --auth-token asks for: `simple`, `jwt,sign-method=...,...` or nothing; BadArguments.

    Options of jwt: sign-method, pub-key and priv-key (PEM files, the public key also as a certificate; for HS the
    secret is the content of priv-key), and ttl (such as 10m).
    """
    kind, *pairs = option.split(",")
    options: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or name in options or "=" in value:
            raise BadArguments(f"--auth-token: {name!r} is not an option with one value")
        options[name] = value
    match kind:
        case "simple":
            return SimpleTokens(clock, simple_ttl_seconds)
        case "jwt":
            return _jwt_tokens(options, clock)
        case "":
            return NoTokens()
        case _:
            raise BadArguments(f"--auth-token: {kind!r} is neither simple nor jwt")


def _jwt_tokens(options: Mapping[str, str], clock: Clock) -> JwtTokens:
    method = options.get("sign-method", "")
    if method not in METHODS:
        raise BadArguments(f"--auth-token: sign-method {method!r} is none of {', '.join(sorted(METHODS))}")
    ttl = duration_seconds(options["ttl"]) if options.get("ttl") else JWT_TTL_SECONDS
    private, public = _read(options, "priv-key"), _read(options, "pub-key")
    if method.startswith("HS"):
        if not private:
            raise BadArguments("--auth-token: HS needs priv-key, a file with the secret")
        return JwtTokens(clock, method, private, private, ttl)
    sign, verify = _key_pair(method, private, public)
    return JwtTokens(clock, method, sign, verify, ttl)


def _read(options: Mapping[str, str], name: str) -> bytes:
    path = options.get(name)
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadArguments(f"--auth-token: {name} cannot be read: {error}") from error


def _key_pair(method: str, private_pem: bytes, public_pem: bytes) -> tuple[PrivateKey | None, PublicKey]:
    private_type, public_type = _KEYS[method[:2]]
    try:
        sign = load_pem_private_key(private_pem, None) if private_pem else None
        verify = _public_key(method, public_pem) if public_pem else None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadArguments(f"--auth-token: a key is not PEM that can be read: {error}") from error
    if sign is not None and not isinstance(sign, private_type):
        raise BadArguments(f"--auth-token: priv-key is not a key for {method}")
    if verify is not None and not isinstance(verify, public_type):
        raise BadArguments(f"--auth-token: pub-key is not a key for {method}")
    if sign is None:
        if verify is None:
            raise BadArguments("--auth-token: jwt needs priv-key or pub-key")
        return None, verify
    if verify is not None and _pem(verify) != _pem(sign.public_key()):
        raise BadArguments("--auth-token: priv-key and pub-key do not belong together")
    return sign, sign.public_key()


def _public_key(method: str, pem: bytes) -> PublicKeyTypes:
    """A public key by itself or, as in etcd except for Ed25519, in a certificate."""
    if b"-----BEGIN CERTIFICATE-----" in pem and not method.startswith("Ed"):
        return load_pem_x509_certificate(pem).public_key()
    return load_pem_public_key(pem)


def _pem(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")


def duration_seconds(text: str) -> float:
    """A duration such as 5m, 1h30m or 1.5s in seconds; BadArguments."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadArguments(f"{text!r} is not a duration such as 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
