"""What a client asks of TiKV, counted, and what that taught it about the weight of values."""

from collections import Counter
from collections.abc import Collection

from brainctl.clock import Durations
from brainctl.tikv.errors import Failure

PAGE_BYTES = 1 << 20
"""What a reply should weigh; the package takes none above 4 MiB, and tries for seconds before it says so."""
LARGEST_GET = 512
"""Keys asked for in one request."""
FIRST_PAGE = 64
"""The most pairs of the first page of a range."""
LARGE = PAGE_BYTES // FIRST_PAGE
"""Bytes of a value that is large: fewer than a first page of them fit into a reply."""


class Weight:
    """How many bytes a value has, as the replies of late have shown."""

    def __init__(self, start: float, keep: float) -> None:
        """Begin with an expectation, in bytes, of which half outlives a reply of lighter values; of what was learned it
        is the share `keep`, once there was anything large.
        """
        self._bytes = start
        self._learned = keep
        self._keep = 0.5

    def learn(self, values: Collection[bytes]) -> None:
        """Take a reply into account: growth at once, shrinkage slowly."""
        if values:
            mean = sum(map(len, values)) / len(values)
            if mean > LARGE:
                self._keep = self._learned
            self._bytes = max(mean, self._keep * self._bytes + (1 - self._keep) * mean)

    def fits(self, most: int) -> int:
        """Return how many values to ask for at a time, at most `most`."""
        return max(1, min(most, int(PAGE_BYTES / max(self._bytes, 1))))


class Traffic:
    """The requests of one client since its start."""

    def __init__(self) -> None:
        self.requests: dict[str, Durations] = {}
        """By kind (get, scan, scan_keys, lock, commit, timestamp, begin) how long they took, the failed ones too."""
        self.failures: Counter[Failure] = Counter()
        """Requests that failed, by what that means; many are tried again."""
        self.keys: Counter[str] = Counter()
        """Keys that TiKV sent, by kind of request."""
        self.got = Weight(4096, 0.9)
        """Of values asked for by their keys."""
        self.scanned = Weight(PAGE_BYTES, 0.97)
        """Of values in ranges: the first page of a client is a single pair, and large values are remembered for long,
        since a page that is too large costs seconds, and one that is too small a millisecond.
        """

    def took(self, kind: str, seconds: float) -> None:
        """Count a request."""
        durations = self.requests.get(kind)
        if durations is None:
            durations = self.requests[kind] = Durations(0.00025, 16)
        durations.add(seconds)

    def count(self, kind: str) -> int:
        """Return how many requests of a kind there were."""
        return sum(self.requests[kind].counts) if kind in self.requests else 0
