"""Name the TiKV keys of a store (docs/formats/tikv-keys.md).

All keys of a store start with its prefix and a section letter. A user's key is always the last part of a TiKV key, so
its plain bytes keep the order of the store and nothing has to be escaped.
"""

from brainctl.errors import InvalidInput

SECTIONS = "bdhklmr"
"""The section letters; none of them can be a part of a prefix, so that no store lies inside another."""
LANES = 8
"""Number of bulk transactions that can be in flight at a time (see `Layout.lane`)."""
MAX_KEY = 7000
"""Bytes of the longest user key. TiKV takes keys of up to 8 KiB, counted with prefix, section, and nine bytes stored
for each eight.
"""
MAX_PREFIX = 256
"""Characters of the longest prefix."""


def after(prefix: bytes) -> bytes:
    r"""Return the end of the range of all keys that start with `prefix`, whose last byte is not \xff."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def position(revision: int, sub: int) -> bytes:
    """Return a position in the revision log: 12 bytes that sort as the pair (revision, sub-revision) does."""
    return revision.to_bytes(8) + sub.to_bytes(4)


class Layout:
    """The TiKV keys of one store: builds them from user keys, names and positions."""

    def __init__(self, prefix: str) -> None:
        """Create the layout of the store under a prefix.

        Args:
            prefix: names joined by single slashes, printable ASCII, none of which is a section letter.

        Raises:
            InvalidInput: the prefix is not of that form.
        """
        parts = prefix.split("/")
        if not prefix.isascii() or not prefix.isprintable() or len(prefix) > MAX_PREFIX or "" in parts:
            raise InvalidInput(f"not a TiKV prefix: {prefix!r}: names joined by single slashes are")
        if any(part in SECTIONS for part in parts):
            raise InvalidInput(
                f"not a TiKV prefix: {prefix!r}: a single letter of {SECTIONS!r} names a part of a store"
            )
        root = prefix.encode() + b"/"
        self.prefix = prefix
        self.head = root + b"h/head"
        self.epochs = root + b"h/epoch/"
        self.lanes = root + b"h/lane/"
        self.resetting = root + b"h/reset"
        self.holder = root + b"h/holder"
        self.instances = root + b"h/instance/"
        self.secret = root + b"h/secret"
        self.lives = root + b"k/"
        self.deads = root + b"d/"
        self.bases = root + b"b/"
        self.records = root + b"m/"
        self.log = root + b"r/"

    def live(self, key: bytes) -> bytes:
        """Return the TiKV key of the live version of a user key."""
        return self.lives + key

    def dead(self, key: bytes) -> bytes:
        """Return the TiKV key of the tombstone of a deleted user key, which is there until it is compacted."""
        return self.deads + key

    def base(self, key: bytes) -> bytes:
        """Return the TiKV key that keeps the newest version at or below the compacted revision of a user key, once a
        newer version has replaced it.
        """
        return self.bases + key

    def record(self, name: bytes) -> bytes:
        """Return the TiKV key of a small record."""
        return self.records + name

    def block(self, place: bytes) -> bytes:
        """Return the TiKV key of the block of the log whose last change has this position."""
        return self.log + place

    def epoch(self, number: int) -> bytes:
        """Return the TiKV key in which the take-over that began an epoch leaves the last sequence number before it."""
        return self.epochs + number.to_bytes(8)

    def instance(self, member: int) -> bytes:
        """Return the TiKV key under which the instance with a member id registers."""
        return self.instances + member.to_bytes(8)

    def lane(self, number: int) -> bytes:
        """Return the key that each bulk transaction of one lane rewrites.

        A take-over rewrites the keys of all lanes. So bulk transactions conflict with a take-over, and those of
        different lanes do not conflict with each other.
        """
        return self.lanes + bytes((number,))

    def bounds(self, section: bytes, start: bytes, end: bytes | None) -> tuple[bytes, bytes]:
        """Return the range of TiKV keys in one section for the user keys `start <= key < end`, all from `start` on for
        None.
        """
        return section + start, after(section) if end is None else section + end
