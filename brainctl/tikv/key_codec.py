r"""Where a store keeps what in TiKV's key space (docs/formats/tikv-keys.md).

All keys of a store start with its prefix and a section letter. A user's key is always the last part of a TiKV key, so
its plain bytes keep the order of the store and nothing has to be escaped.
"""

from brainctl.errors import InvalidInput

SECTIONS = "bdhklmr"
"""The section letters; none of them can be a part of a prefix, so that no store lies inside another."""
LANES = 8
"""How many import transactions can be in flight at a time (see `Layout.lane`)."""
MAX_KEY = 7000
"""Bytes of the longest user key: with prefix and section, and nine bytes for each eight, TiKV takes up to 8 KiB."""
MAX_PREFIX = 256


def after(prefix: bytes) -> bytes:
    r"""The end of the range of all keys that start with `prefix`, whose last byte is not \xff."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def position(revision: int, sub: int) -> bytes:
    """A place in the revision log, 12 bytes that sort as the pair does."""
    return revision.to_bytes(8) + sub.to_bytes(4)


class Layout:
    """Makes and takes apart the TiKV keys of one store."""

    def __init__(self, prefix: str) -> None:
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
        self.lives = root + b"k/"
        self.deads = root + b"d/"
        self.bases = root + b"b/"
        self.records = root + b"m/"
        self.log = root + b"r/"

    def live(self, key: bytes) -> bytes:
        """Where the live version of a key is."""
        return self.lives + key

    def dead(self, key: bytes) -> bytes:
        """Where the tombstone of a deleted key is, until it is compacted."""
        return self.deads + key

    def base(self, key: bytes) -> bytes:
        """Where the version of a key that is older than the history is kept, while a newer one is above it."""
        return self.bases + key

    def record(self, name: bytes) -> bytes:
        """Where a small record is."""
        return self.records + name

    def block(self, place: bytes) -> bytes:
        """Where the block of the log is whose last change has this position."""
        return self.log + place

    def epoch(self, number: int) -> bytes:
        """Where a take-over leaves the last sequence number of the writer before it."""
        return self.epochs + number.to_bytes(8)

    def lane(self, number: int) -> bytes:
        """The key that one stream of import transactions rewrites in each of them, and a take-over in its own, so that
        they conflict with a take-over and not with each other.
        """
        return self.lanes + bytes((number,))

    def bounds(self, section: bytes, start: bytes, end: bytes | None) -> tuple[bytes, bytes]:
        """The TiKV range of the user keys `start <= key < end` in one of the sections."""
        return section + start, after(section) if end is None else section + end
