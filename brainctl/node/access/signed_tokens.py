"""Tokens that every instance of one service knows: signed with a secret that the instances share.

A token names a user and its end, and is signed together with the hash of the user's password. So nobody remembers it,
and it ends with the user, or with the password, as a simple token does.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

import orjson

from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.mvcc.permission import Identity, user_record
from brainctl.node.access.tokens import SIMPLE_TTL_SECONDS, SimpleTokens, Tokens

Record = Callable[[bytes], bytes | None]
"""Looks up a small record by its name, None without one."""
_MAC_BYTES = 32


class SignedTokens:
    """Issues tokens by a shared secret, and recognises those that another holder of it has issued."""

    def __init__(
        self, secret: bytes, now: Callable[[], float], record: Record, ttl_seconds: float = SIMPLE_TTL_SECONDS
    ) -> None:
        """Create them.

        Args:
            secret: what only the instances know.
            now: returns the time in seconds, of a clock that all instances read.
            record: looks up a small record of the store, for those of users.
            ttl_seconds: how long a token is good.
        """
        self._secret = secret
        self._now = now
        self._record = record
        self._ttl = ttl_seconds

    def assign(self, user: str, revision: int) -> str:
        """See `Tokens.assign`."""
        del revision
        claims = orjson.dumps([user, self._now() + self._ttl])
        return urlsafe_b64encode(self._mac(user, claims) + claims).decode()

    def identify(self, token: str, revision: int) -> Identity | None:
        """See `Tokens.identify`."""
        try:
            plain = urlsafe_b64decode(token.encode())
            mac, claims = plain[:_MAC_BYTES], plain[_MAC_BYTES:]
            user, end = orjson.loads(claims)
        except (ValueError, TypeError):
            return None
        if not isinstance(user, str) or not hmac.compare_digest(mac, self._mac(user, claims)):
            return None
        return Identity(user, revision) if self._now() < end else None

    def forget(self, user: str) -> None:
        """See `Tokens.forget`. It does nothing: these tokens end with the record of the user."""

    def clear(self) -> None:
        """See `Tokens.clear`. It does nothing: these tokens end by themselves."""

    def _mac(self, user: str, claims: bytes) -> bytes:
        record = self._record(user_record(user))
        password = authpb.User.FromString(record).password if record is not None else b""
        return hmac.digest(self._secret, b"token %d %b%b" % (len(claims), claims, password), "sha256")


class SharedTokens:
    """The tokens of an instance: those that its clients are given, and those with which instances forward requests."""

    def __init__(self, given: Tokens, signed: SignedTokens) -> None:
        """Create tokens that every instance accepts: `signed` where `given` are simple, known to one process."""
        self._given = signed if isinstance(given, SimpleTokens) else given
        self._signed = signed
        self.forget = self._given.forget
        self.clear = self._given.clear
        self.assign = self._given.assign

    def identify(self, token: str, revision: int) -> Identity | None:
        """See `Tokens.identify`."""
        return self._signed.identify(token, revision) or self._given.identify(token, revision)
