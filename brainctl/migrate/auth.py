"""Which users and roles the target holds, and whether it is to be given others."""

from collections.abc import Mapping


class AuthBook:
    """The small records of users, roles and the switch of authentication, which are copied as they are."""

    def __init__(self, held: Mapping[bytes, bytes] | None) -> None:
        """`held` is what the target holds; None leaves users and roles out of the migration."""
        self.held = dict(held or {})
        """What the target holds once all writes asked for are durable."""
        self._copied = held is not None
        self._wanted: dict[bytes, bytes] | None = None
        self._asked = False
        self._compared = not self._copied

    def read(self, records: Mapping[bytes, bytes]) -> None:
        """Take what the source has."""
        self._wanted = dict(records)
        self._asked, self._compared = False, True

    def take(self) -> dict[bytes, bytes] | None:
        """Return the records to write now, all of them; None when the target holds them."""
        if self._wanted is None or self._wanted == self.held:
            return None
        self.held = dict(self._wanted)
        return self.held

    def compare(self) -> None:
        """Have the source asked again before they count as settled."""
        self._compared = not self._copied

    def ask(self) -> bool:
        """Whether the source is to be asked now; it then is taken to be."""
        if self._compared or self._asked:
            return False
        self._asked = True
        return True

    @property
    def settled(self) -> bool:
        """Whether the source was asked, and nothing is due."""
        return self._compared and (self._wanted is None or self._wanted == self.held)

    def forget(self) -> None:
        """The target was emptied."""
        self.held = {}
