"""The users and roles of a migration: what the target holds, and whether it must be given others."""

from collections.abc import Mapping


class AuthBook:
    """The small records of users, roles and the switch of authentication, which are copied unchanged."""

    def __init__(self, held: Mapping[bytes, bytes] | None) -> None:
        """Create the book with the records that the target holds; None leaves users and roles out of the migration."""
        self.held = dict(held or {})
        """The records that the target holds once all requested writes are durable."""
        self.copied = held is not None
        """Whether users and roles are part of the migration."""
        self._wanted: dict[bytes, bytes] | None = None
        """The records of the source when it was last read."""
        self._asked = False
        """Whether a read of the source was requested and is not answered yet."""
        self._compared = not self.copied
        """Whether the source was read since `compare`."""

    def read(self, records: Mapping[bytes, bytes]) -> None:
        """Set the records that the source has, as the ones to write."""
        self._wanted = dict(records)
        self._asked, self._compared = False, True

    def take(self) -> dict[bytes, bytes] | None:
        """Return the records to write now, all of them; None when the target holds them."""
        if self._wanted is None or self._wanted == self.held:
            return None
        self.held = dict(self._wanted)
        return self.held

    def compare(self) -> None:
        """Require that the source is read again before the records count as settled."""
        self._compared = not self.copied

    def ask(self) -> bool:
        """Return whether the source must be read now; the caller then requests it."""
        if self._compared or self._asked:
            return False
        self._asked = True
        return True

    @property
    def settled(self) -> bool:
        """Return whether the source was read, and no write is due."""
        return self._compared and (self._wanted is None or self._wanted == self.held)

    def forget(self) -> None:
        """Record that the target was emptied, so everything is written again."""
        self.held = {}
