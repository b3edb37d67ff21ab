"""Tokens: what a client shows after it has given its password once (etcd server/auth/simple_token.go, jwt.go).

Simple tokens are names of sessions that this node remembers; they end with the node. JSON Web Tokens are signed and
remembered by nobody; they name the auth revision of their making, and so end with any change of users or roles.
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
_LETTERS = 16


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
