"""JSON Web Tokens and their keys (etcd server/auth/jwt.go, options.go). Imported only when they are used."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
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
from brainctl.errors import ApiError, BadArguments, Code, Status, next_step
from brainctl.mvcc.permission import Identity

if TYPE_CHECKING:
    from jwt.types import Options

VERIFY_ONLY = Status(Code.UNKNOWN, "auth: token signing attempted with verify-only key")
"""The status when this node has only a public key."""
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
JWT_TTL_SECONDS = 300.0
"""Seconds that a token lives unless the option ttl says otherwise, as in etcd."""
_KEYS: dict[str, tuple[type[PrivateKey], type[PublicKey]]] = {
    "RS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "PS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "ES": (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey),
    "Ed": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
}
"""The types of private and public keys, by the first two letters of the sign-method."""
METHODS = frozenset({f"{family}{bits}" for family in ("RS", "PS", "ES", "HS") for bits in (256, 384, 512)} | {"EdDSA"})
"""The permitted values of the option sign-method."""
_SIGNATURE_ONLY: "Options" = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""PyJWT checks the signature only. Times are checked against the clock of the node. Audience and issuer are not
checked, as in etcd: other issuers write these claims, and the key decides.
"""
_PARAMETERS = re.compile(rb"-----BEGIN EC PARAMETERS-----.*?-----END EC PARAMETERS-----\s*", re.DOTALL)
"""The section that `openssl ecparam` writes before a key."""


class JwtTokens:
    """Signed tokens with the claims username, revision and exp."""

    def __init__(
        self, clock: Clock, method: str, sign: PrivateKey | bytes | None, verify: PublicKey | bytes, ttl_seconds: float
    ) -> None:
        self._clock = clock
        self._method = method
        self._sign = sign
        self._verify = verify
        self._ttl = ttl_seconds

    def assign(self, user: str, revision: int) -> str:
        """Return a signed token.

        Raises:
            ApiError: There is no key to sign with.
        """
        if self._sign is None:
            raise ApiError(VERIFY_ONLY)
        claims = {"username": user, "revision": revision, "exp": int(self._clock.wall() + self._ttl)}
        return jwt.encode(claims, self._sign, algorithm=self._method)

    def identify(self, token: str, revision: int) -> Identity | None:
        """Return the user and the auth revision of a token; None when its signature or its time is not valid."""
        del revision
        try:
            claims = jwt.decode(token, self._verify, algorithms=[self._method], options=_SIGNATURE_ONLY)
        except jwt.PyJWTError:
            return None
        user, made_at, expiry = claims.get("username"), _number(claims.get("revision")), claims.get("exp")
        if not isinstance(user, str) or made_at < 0:
            return None
        now = self._clock.wall()
        if expiry is not None and _number(expiry) <= now:
            return None
        start = claims.get("nbf")
        if start is not None and not 0 <= _number(start) <= now:
            return None
        return Identity(user, int(made_at))

    def forget(self, user: str) -> None:
        """See `Tokens.forget`. It does nothing: the change of the auth revision ends these tokens."""

    def clear(self) -> None:
        """See `Tokens.clear`. It does nothing: the change of the auth revision ends these tokens."""


def _number(claim: object) -> float:
    """Return the value of a claim that should be a number; -1 when it is none."""
    return claim if isinstance(claim, int | float) and not isinstance(claim, bool) else -1


def jwt_tokens(options: Mapping[str, str], clock: Clock) -> JwtTokens:
    """Return the tokens that the options of --auth-token select.

    Raises:
        BadArguments: An option or a key is missing or wrong, or a key cannot be read.
    """
    method = options.get("sign-method", "")
    if method not in METHODS:
        raise BadArguments(f"--auth-token: sign-method {method!r} is none of {', '.join(sorted(METHODS))}")
    ttl = duration_seconds(options["ttl"]) if options.get("ttl") else JWT_TTL_SECONDS
    private, public = _read(options, "priv-key"), _read(options, "pub-key")
    if method.startswith("HS"):
        if not private:
            raise BadArguments("--auth-token: HS needs priv-key, a file with the secret")
        sign: PrivateKey | bytes | None = private
        verify: PublicKey | bytes = private
    else:
        sign, verify = _key_pair(method, private, public)
    try:
        if sign is not None:
            jwt.encode({}, sign, algorithm=method)
    except (jwt.PyJWTError, TypeError, ValueError) as error:
        raise BadArguments(f"--auth-token: the key is not one for {method}: {error}") from error
    return JwtTokens(clock, method, sign, verify, ttl)


def _read(options: Mapping[str, str], name: str) -> bytes:
    """Return the content of the file that an option names; empty without the option.

    Raises:
        BadArguments: It cannot be read.
    """
    path = options.get(name)
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        text = f"--auth-token: {name} {path} cannot be read: {error.strerror}"
        raise BadArguments(text).advised(next_step(error)) from error


def _key_pair(method: str, private_pem: bytes, public_pem: bytes) -> tuple[PrivateKey | None, PublicKey]:
    """Return the key to sign with, None without a private key, and the key to verify with.

    Raises:
        BadArguments: A key is unreadable or of another kind, or the two do not belong together.
    """
    private_type, public_type = _KEYS[method[:2]]
    try:
        sign = load_pem_private_key(_PARAMETERS.sub(b"", private_pem), None) if private_pem else None
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
    """Return a public key by itself or, as in etcd except for Ed25519, from a certificate."""
    if b"-----BEGIN CERTIFICATE-----" in pem and not method.startswith("Ed"):
        return load_pem_x509_certificate(pem).public_key()
    return load_pem_public_key(pem)


def _pem(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")


def duration_seconds(text: str) -> float:
    """Return a duration such as 5m, 1h30m or 1.5s in seconds.

    Raises:
        BadArguments: The text is no such duration.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadArguments(f"{text!r} is not a duration such as 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
