"""The connections of a server, and which of them are closed when there are too many."""

from collections.abc import Iterator
from typing import Protocol

from brainctl.server.admission import Room


class Connection(Protocol):
    """A connection, as the server drives it."""

    def tick(self) -> None:
        """Note that a second has passed."""

    def drain(self) -> None:
        """Answer what was asked, take no more requests, then close."""

    def abort(self) -> None:
        """Close now."""


class Connections:
    """All open connections of one server, from the moment they are accepted.

    Those that wait (in their TLS handshake, before their first request, or with an unfinished one) have nothing to
    lose: when there is no room the one that has waited longest is closed for a new one, so that a client that opens
    many and says nothing keeps nobody out.
    """

    def __init__(self, room: Room) -> None:
        """Create an empty set, bounded by `room`."""
        self._room = room
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        """The longest waiting one first."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    def admit(self, connection: Connection) -> bool:
        """Add a new connection, which waits; return False when there is no room for it."""
        if not self._room.admits(len(self._open)):
            longest = next(iter(self._waiting), None)
            if longest is None:
                return False
            self.remove(longest)
            longest.abort()
        self._open.add(connection)
        self._waiting[connection] = None
        return True

    def replace(self, old: Connection, new: Connection, *, waits: bool) -> bool:
        """Let `new` take the place of `old`, the same connection; return False when that was closed to make room."""
        if old not in self._open:
            return False
        self.remove(old)
        self._open.add(new)
        self.waits(new, waits)
        return True

    def waits(self, connection: Connection, waits: bool) -> None:
        """Note whether a connection waits for its client's next request."""
        self._waiting.pop(connection, None)
        if waits and connection in self._open:
            self._waiting[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)
