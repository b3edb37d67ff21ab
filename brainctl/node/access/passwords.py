"""Passwords: hashed and compared with bcrypt, in threads, a few at a time.

No other module sees a password. It is neither kept nor logged, and what is derived from it leaves the node only as the
hash in the durable record of its user.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

import bcrypt

from brainctl.errors import TOO_MANY_REQUESTS, ApiError, Code, Status

COST = 10
"""bcrypt's and etcd's default: about 50 ms of one core."""
MIN_CHARACTERS = 2
"""etcd accepts empty passwords, of which CVE-2020-15115 warns; a password of one character is no better."""
MAX_BYTES = 72
"""bcrypt ignores bytes after these."""
TOO_SHORT = Status(
    Code.INVALID_ARGUMENT, f"etcdserver: a password has at least {MIN_CHARACTERS} characters; see also no_password"
)
"""The status for a password below MIN_CHARACTERS."""
TOO_LONG = Status(Code.UNKNOWN, "bcrypt: password length exceeds 72 bytes")
"""The status for a password above MAX_BYTES, with the text of Go's bcrypt."""
MAX_WAITING = 256
"""Number of passwords that may wait for their turn, about ten seconds of work; later ones get TOO_MANY_REQUESTS."""
AT_ONCE = 2
"""Number of passwords that are hashed or compared at the same time."""
_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Passwords:
    """Turns passwords into hashes and compares them."""

    def __init__(self, cost: int = COST) -> None:
        self._cost = cost
        # Anyone can make the node hash passwords, without being known to it: leave the other cores usable.
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords")
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def hashed(self, password: str) -> bytes:
        """Return the hash of a password.

        Raises:
            ApiError: The password is too short or too long, or too many wait.
        """
        if len(password) < MIN_CHARACTERS:
            raise ApiError(TOO_SHORT)
        if len(password.encode()) > MAX_BYTES:
            raise ApiError(TOO_LONG)
        return await self._in_turn(self._hash, password)

    async def matches(self, password: str, expected: bytes | None) -> bool:
        """Return whether a password has this hash. None matches no password, and takes as long.

        Raises:
            ApiError: Too many passwords wait.
        """
        return await self._in_turn(self._compare, password, expected)

    async def _in_turn(self, work: Callable[[*_Arguments], _Result], *args: *_Arguments) -> _Result:
        """Do work on another thread, at most AT_ONCE at a time.

        Raises:
            ApiError: MAX_WAITING wait already.
        """
        if self._waiting >= MAX_WAITING:
            raise ApiError(TOO_MANY_REQUESTS)
        self._waiting += 1
        try:
            async with self._turn:
                # Not asyncio.to_thread: its few threads are those with which the store does its background work.
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1

    def _hash(self, password: str) -> bytes:
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._cost))

    def _compare(self, password: str, expected: bytes | None) -> bool:
        """Compare a password with a hash.

        Without a hash take as long, so that the time does not tell whether a user exists.
        """
        secret = password.encode()
        if len(secret) > MAX_BYTES:
            return False
        if expected is None:
            self._hash(password)
            return False
        try:
            return bcrypt.checkpw(secret, expected)
        except ValueError:  # hashes of clients are stored unchecked (hashedPassword), so it may be none
            return False
