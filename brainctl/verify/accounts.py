"""Users, roles and the switch of authentication of two stores compared, password hashes included."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.stores.auth import Auth, AuthReader
from brainctl.verify.difference import Account, AccountDifference, AuthSwitch, Problem

RECHECKS = 5
"""Number of times that differences are looked at again in a live comparison."""

Fields = Mapping[str, object]
"""The compared fields of a user or a role, by the name under which a difference is shown."""


class Accounts:
    """Reads both sides, and reads them again only after they have changed."""

    def __init__(self, expected: AuthReader, found: AuthReader) -> None:
        self._expected = expected
        self._found = found

    async def differences(self, first_pause: float, *, live: bool) -> tuple[list[AccountDifference], int]:
        """Return the differences, and how many were gone after a recheck.

        Args:
            first_pause: Seconds before the first recheck; they double each time.
            live: Recheck differences, because both sides may be changing.

        Raises:
            AuthUnreadable: A side does not permit to read its users and roles.
        """
        found = first = await self._look()
        pause = first_pause
        for _ in range(RECHECKS if live else 0):
            if not found:
                break
            await asyncio.sleep(pause)
            pause *= 2
            again = await self._look()
            found = [entry for entry in again if entry in found]
        return found, len(first) - len(found)

    async def _look(self) -> list[AccountDifference]:
        return list(compared(*await asyncio.gather(self._expected.read(), self._found.read())))


def compared(expected: Auth, found: Auth) -> Iterator[AccountDifference]:
    """Yield how `found` differs from `expected`: the switch, then users, then roles."""
    if expected.state.enabled != found.state.enabled:
        yield AuthSwitch(expected.state.enabled, found.state.enabled)
    yield from _each("user", expected.users, found.users, _user)
    yield from _each("role", expected.roles, found.roles, _role)


def _each(
    kind: str, expected: Mapping[str, bytes], found: Mapping[str, bytes], fields_of: Callable[[bytes], Fields]
) -> Iterator[Account]:
    """Yield the differences of users or of roles, in the order of their names."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield Account(kind, name, Problem.MISSING)
        elif name not in expected:
            yield Account(kind, name, Problem.EXTRA)
        else:
            left, right = fields_of(expected[name]), fields_of(found[name])
            if different := tuple(field for field in left if left[field] != right[field]):
                yield Account(kind, name, Problem.DIFFERENT, different)


def _user(record: bytes) -> Fields:
    user = authpb.User.FromString(record)
    return {"password": user.password, "roles": sorted(user.roles), "no_password": user.options.no_password}


def _role(record: bytes) -> Fields:
    permissions = authpb.Role.FromString(record).keyPermission
    return {"permissions": sorted((one.key, one.range_end, one.permType) for one in permissions)}
