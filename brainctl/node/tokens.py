"""Tokens: what a client shows after it has given its password once (etcd server/auth/simple_token.go, jwt.go).

Simple tokens are names of sessions that this node remembers; they end with the node. JSON Web Tokens are signed and
remembered by nobody; they name the auth revision of their making, and so end with any change of users or roles.
Nothing here writes a token anywhere but to its owner: logs show `fingerprint`s.
"""

import hashlib
import secrets
import string
from typing import Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from brainctl.clock import Clock
from brainctl.errors import AUTH_FAILED, ApiError, Code, Status
from brainctl.mvcc.permission import Identity

SIMPLE_TTL_SECONDS = 300.0
VERIFY_ONLY = Status(Code.UNKNOWN, "auth: token signing attempted with verify-only key")
_LETTERS = 16

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def fingerprint(token: str) -> str:
    """What a log may show of a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class Tokens(Protocol):
    """Gives tokens out and recognises them."""

    def assign(self, user: str, revision: int) -> str:
        """A token for a user whose password was right at an auth revision; ApiError when none can be made here."""

    def identify(self, token: str, revision: int) -> Identity | None:
        """Whose token this is; None when it is nobody's. `revision` is the present auth revision."""

    def forget(self, user: str) -> None:
        """Recognise no more tokens of a user, where that is possible."""

    def clear(self) -> None:
        """Recognise no token that was given out so far, where that is possible."""


class SimpleTokens:
    """Sessions that this node remembers until they are not used for a while."""

    def __init__(self, clock: Clock, ttl_seconds: float = SIMPLE_TTL_SECONDS) -> None:
        self._clock = clock
        self._ttl = ttl_seconds
        self._given = 0
        # In the order of expiry: a token that is used goes to the end.
        self._sessions: dict[str, tuple[float, str]] = {}

    def assign(self, user: str, revision: int) -> str:
        """A new session; sixteen random letters and a number, as etcd's tokens look."""
        del revision
        self._expire()
        self._given += 1
        letters = "".join(secrets.choice(string.ascii_letters) for _ in range(_LETTERS))
        token = f"{letters}.{self._given}"
        self._sessions[token] = (self._clock.monotonic() + self._ttl, user)
        return token

    def identify(self, token: str, revision: int) -> Identity | None:
        """The user of a session, which lives on for its full time from now."""
        found = self._sessions.pop(token, None)
        if found is None:
            return None
        expiry, user = found
        now = self._clock.monotonic()
        if expiry <= now:
            return None
        self._sessions[token] = (now + self._ttl, user)
        return Identity(user, revision)

    def forget(self, user: str) -> None:
        """End the sessions of a user."""
        self._sessions = {token: found for token, found in self._sessions.items() if found[1] != user}

    def clear(self) -> None:
        """End all sessions."""
        self._sessions.clear()

    def _expire(self) -> None:
        now = self._clock.monotonic()
        while self._sessions:
            token = next(iter(self._sessions))
            if self._sessions[token][0] > now:
                return
            del self._sessions[token]


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
        """A token, when there is a key to sign with."""
        if self._sign is None:
            raise ApiError(VERIFY_ONLY)
        claims = {"username": user, "revision": revision, "exp": int(self._clock.wall() + self._ttl)}
        return jwt.encode(claims, self._sign, algorithm=self._method)

    def identify(self, token: str, revision: int) -> Identity | None:
        """The user and the auth revision that a token names, when its signature and its time are good."""
        del revision
        try:
            # The time is checked below, against the clock of the node.
            claims = jwt.decode(token, self._verify, algorithms=[self._method], options={"verify_exp": False})
        except jwt.InvalidTokenError:
            return None
        user, made_at, expiry = claims.get("username"), _number(claims.get("revision")), claims.get("exp")
        if not isinstance(user, str) or made_at < 0:
            return None
        if expiry is not None and _number(expiry) <= self._clock.wall():
            return None
        return Identity(user, int(made_at))

    def forget(self, user: str) -> None:
        """Nothing: the change of the auth revision is what ends these tokens."""

    def clear(self) -> None:
        """Nothing, as for `forget`."""


def _number(claim: object) -> float:
    """The value of a claim that should be a number; -1 when it is none."""
    return claim if isinstance(claim, int | float) and not isinstance(claim, bool) else -1


class NoTokens:
    """Gives out none: only certificates identify users."""

    def assign(self, user: str, revision: int) -> str:
        """None: whoever asks is refused."""
        del user, revision
        raise ApiError(AUTH_FAILED)

    def identify(self, token: str, revision: int) -> None:
        """Nobody."""

    def forget(self, user: str) -> None:
        """Nothing."""

    def clear(self) -> None:
        """Nothing."""
