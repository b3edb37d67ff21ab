"""The scope of a comparison: the keys that are compared, and which of their fields. Pure."""

from typing import NamedTuple

from brainctl.mvcc.prefix import prefix_end

Range = tuple[bytes, bytes]
"""A half-open range of keys; an empty end means all that follow."""


class Mapping(NamedTuple):
    """The keys below `old` on the first side are those below `new` on the second."""

    old: bytes
    new: bytes

    def there(self, key: bytes) -> bytes:
        """Return the name on the second side of a key, or of the end of a range, below `old`."""
        return self.new + key[len(self.old) :] if key.startswith(self.old) else end_of(self.new)

    def back(self, key: bytes) -> bytes:
        """Return the name on the first side of a key, or of the end of a range, below `new`."""
        return self.old + key[len(self.new) :] if key.startswith(self.new) else end_of(self.old)


class Scope(NamedTuple):
    """The part of two stores that is compared."""

    prefix: bytes = b""
    exclude: tuple[bytes, ...] = ()
    """Keys that start with one of these are left out."""
    mapping: Mapping | None = None
    values_only: bool = False
    """Only keys and values are compared, for copies that keep no revisions."""

    @property
    def whole(self) -> bool:
        """Return whether everything is compared, what does not belong to a key as well."""
        return self == Scope()

    def ranges(self) -> list[Range]:
        """Return the compared ranges, in key order, as the first side names their keys."""
        below = self.mapping.old if self.mapping and self.mapping.old.startswith(self.prefix) else self.prefix
        ranges: list[Range] = [(below, end_of(below))]
        for excluded in self.exclude:
            ranges = [rest for one in ranges for rest in _without(one, excluded)]
        return ranges


def end_of(prefix: bytes) -> bytes:
    """Return the key behind all that start with `prefix`; empty when nothing is behind them."""
    end = prefix_end(prefix)
    return b"" if end == b"\0" else end


def _without(one: Range, prefix: bytes) -> list[Range]:
    """Return what is left of a range without the keys that start with `prefix`."""
    (start, end), out = one, end_of(prefix)
    if (end and prefix >= end) or (out and out <= start):
        return [one]
    rest: list[Range] = []
    if start < prefix:
        rest.append((start, prefix))
    if out and (not end or out < end):
        rest.append((out, end))
    return rest
