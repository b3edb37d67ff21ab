"""Know which region has which keys: a cache without I/O, and the encoding in which the cluster compares keys.

The Placement Driver and TiKV compare *encoded* keys: groups of 8 bytes, filled up with zeros, each followed by a byte
that is 255 less the number of zeros. Here all keys are plain; what comes from the cluster is decoded at once.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from brainctl.tikvpb import metapb_pb2 as meta

_GROUP = 8


def encode_key(key: bytes) -> bytes:
    """Return the form of a key in which the cluster compares it."""
    parts = bytearray()
    for at in range(0, len(key) + 1, _GROUP):
        group = key[at : at + _GROUP]
        parts += group.ljust(_GROUP, b"\0")
        parts.append(255 - _GROUP + len(group))
    return bytes(parts)


def decode_bound(bound: bytes) -> bytes:
    """Return the plain form of a bound of a region: the smallest key whose encoded form is not below it.

    A bound need not be a whole encoded key.
    """
    key = bytearray()
    for at in range(0, len(bound), _GROUP + 1):
        group, mark = bound[at : at + _GROUP], bound[at + _GROUP : at + _GROUP + 1]
        if mark == b"\xff":
            key += group
            continue
        length = mark[0] - (255 - _GROUP) if mark else 0
        return bytes(key + (group[:length] if length > 0 else group.rstrip(b"\0")))
    return bytes(key)


class Peer(NamedTuple):
    """A replica of a region."""

    id: int
    store: int


class Region(NamedTuple):
    """A range of keys that its peers hold together, as it was at one time."""

    id: int
    version: int
    """Raised with each split and merge."""
    peers_version: int
    """Raised with each change of the peers."""
    start: bytes
    end: bytes
    """The first key behind it; empty for the end of all keys."""
    peers: tuple[Peer, ...]
    """Those that can lead."""

    @classmethod
    def of(cls, region: meta.Region) -> "Region":
        """Return the region that the cluster describes."""
        epoch = region.region_epoch
        return cls(
            region.id,
            epoch.version,
            epoch.conf_ver,
            decode_bound(region.start_key),
            decode_bound(region.end_key),
            tuple(Peer(p.id, p.store_id) for p in region.peers if p.role != meta.Learner and not p.is_witness),
        )

    def has(self, key: bytes) -> bool:
        """Return whether a key belongs to the region."""
        return self.start <= key and (not self.end or key < self.end)

    def ends_before(self, end: bytes) -> bool:
        """Return whether a range up to `end` goes on behind it."""
        return bool(self.end) and self.end < end


class RegionCache:
    """The regions that are known, and which peer of each to ask."""

    def __init__(self) -> None:
        self._starts: list[bytes] = []
        self._regions: list[Region] = []
        self._asked: dict[int, Peer] = {}
        self._turns: dict[int, int] = {}
        """Numbers of peers, by region, that were asked in vain since one answered."""

    def __len__(self) -> int:
        return len(self._regions)

    def find(self, key: bytes) -> Region | None:
        """Return the region of a key, if it is known."""
        at = bisect_right(self._starts, key) - 1
        if at >= 0 and self._regions[at].has(key):
            return self._regions[at]
        return None

    def put(self, region: Region, leader: Peer | None = None) -> None:
        """Remember a region, instead of all that it overlaps."""
        first = bisect_left(self._starts, region.start)
        if (first and not self._regions[first - 1].end) or (first and self._regions[first - 1].end > region.start):
            first -= 1
        last = bisect_left(self._starts, region.end) if region.end else len(self._starts)
        self._starts[first:last] = [region.start]
        self._regions[first:last] = [region]
        if leader in region.peers:
            self._asked[region.id] = leader

    def drop(self, region: Region) -> None:
        """Forget a region, if it is still known as it was then."""
        at = bisect_left(self._starts, region.start)
        if at < len(self._regions) and self._regions[at] == region:
            del self._starts[at], self._regions[at]
        self._asked.pop(region.id, None)
        self._turns.pop(region.id, None)

    def peer(self, region: Region) -> Peer | None:
        """Return the peer to ask: the leader, as far as it is known; None for a region without peers."""
        asked = self._asked.get(region.id)
        if asked in region.peers:
            return asked
        return region.peers[0] if region.peers else None

    def lead(self, region: Region, leader: Peer) -> bool:
        """Remember the leader of a region; returns False when that is none of its peers."""
        if leader not in region.peers:
            return False
        self._asked[region.id] = leader
        return True

    def answered(self, region: Region) -> None:
        """Remember that the peer of a region answered."""
        if self._turns:
            self._turns.pop(region.id, None)

    def next_peer(self, region: Region) -> bool:
        """Ask the next peer from now on; returns False when all were asked since one answered."""
        asked = self.peer(region)
        if asked is None:
            return False
        turn = self._turns.get(region.id, 0) + 1
        if turn >= len(region.peers):
            return False
        self._turns[region.id] = turn
        self._asked[region.id] = region.peers[(region.peers.index(asked) + 1) % len(region.peers)]
        return True


def batches(keys: Iterable[tuple[bytes, int]], most: int) -> list[list[bytes]]:
    """Return keys in batches of up to `most` bytes; a single larger one is a batch by itself.

    Args:
        keys: each with the bytes that it adds to a request.
        most: bytes of a batch.
    """
    found: list[list[bytes]] = []
    room = 0
    for key, size in keys:
        if size > room or not found:
            found.append([])
            room = most
        found[-1].append(key)
        room -= size
    return found
