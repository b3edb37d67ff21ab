"""Tokens: what a client sends after it has sent its password once (etcd server/auth/simple_token.go, jwt.go).

Simple tokens are names of sessions that this node remembers; they end with the node. JSON Web Tokens are signed and not
remembered; they carry the auth revision at which they were issued, and so end with any change of users or roles.
Nothing here writes a token anywhere but to its owner: logs show `fingerprint`s.
"""

import hashlib
import secrets
import string
from typing import Protocol

from brainctl.clock import Clock
from brainctl.errors import AUTH_FAILED, ApiError
from brainctl.mvcc.permission import Identity

SIMPLE_TTL_SECONDS = 300.0
"""Seconds after its last use that a simple token expires, as in etcd."""
_LETTERS = 16


def fingerprint(token: str) -> str:
    """Return what a log may show of a token: 12 hex digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class Tokens(Protocol):
    """Issues tokens and recognises them."""

    def assign(self, user: str, revision: int) -> str:
        """Return a token for a user whose password was right at an auth revision.

        Raises:
            ApiError: This node cannot issue tokens.
        """

    def identify(self, token: str, revision: int) -> Identity | None:
        """Return the user of a token; None when it is not valid. `revision` is the present auth revision."""

    def forget(self, user: str) -> None:
        """Forget the tokens of a user, if this kind of tokens can be forgotten."""

    def clear(self) -> None:
        """Forget all tokens, if this kind of tokens can be forgotten."""


class SimpleTokens:
    """Sessions that this node remembers until they were not used for `ttl_seconds`."""

    def __init__(self, clock: Clock, ttl_seconds: float = SIMPLE_TTL_SECONDS) -> None:
        self._clock = clock
        self._ttl = ttl_seconds
        self._given = 0
        # In the order of expiry, since a token that is used moves to the end: expired ones are at the beginning.
        self._sessions: dict[str, tuple[float, str]] = {}

    def assign(self, user: str, revision: int) -> str:
        """Return the token of a new session: sixteen random letters and a number, as etcd's tokens look."""
        del revision
        self._expire()
        self._given += 1
        letters = "".join(secrets.choice(string.ascii_letters) for _ in range(_LETTERS))
        token = f"{letters}.{self._given}"
        self._sessions[token] = (self._clock.monotonic() + self._ttl, user)
        return token

    def identify(self, token: str, revision: int) -> Identity | None:
        """Return the user of a session, and extend it to its full time from now; None when there is no such session."""
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
        """Remove expired sessions."""
        now = self._clock.monotonic()
        while self._sessions:
            token = next(iter(self._sessions))
            if self._sessions[token][0] > now:
                return
            del self._sessions[token]


class NoTokens:
    """Issues no tokens: only certificates identify users."""

    def assign(self, user: str, revision: int) -> str:
        """Refuse to issue a token.

        Raises:
            ApiError: Always.
        """
        del user, revision
        raise ApiError(AUTH_FAILED)

    def identify(self, token: str, revision: int) -> None:
        """Return None: no token is valid."""

    def forget(self, user: str) -> None:
        """See `Tokens.forget`. There are none."""

    def clear(self) -> None:
        """See `Tokens.clear`. There are none."""
