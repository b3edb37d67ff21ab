"""Count what a client asks of TiKV, and learn from it how large values are."""

from collections import Counter
from collections.abc import Collection, Sequence

from brainctl.clock import Durations
from brainctl.tikv.errors import Failure

PAGE_BYTES = 1 << 20
"""Bytes that a reply should have; the package takes none above 4 MiB, and retries for seconds before it says so."""
LARGEST_GET = 512
"""Keys asked for in one request."""
FIRST_PAGE = 64
"""Pairs in the largest first page of a range."""
LARGE = PAGE_BYTES // FIRST_PAGE
"""Bytes from which on a value is large: fewer than a first page of such values fit into a reply."""


def fitting_page(pairs: Sequence[tuple[bytes, bytes]]) -> int:
    """Return how many pairs like these, of which there is at least one, have PAGE_BYTES; 1 at least."""
    return max(1, PAGE_BYTES // (sum(len(key) + len(value) for key, value in pairs) // len(pairs)))


class Weight:
    """An estimate of the size of a value in bytes, from recent replies."""

    def __init__(self, start: float, keep: float) -> None:
        """Create the estimate with an expectation.

        Args:
            start: the expected size in bytes.
            keep: the share of the estimate that outlives a reply of lighter values, once there was anything large;
                before, it is a half.
        """
        self._bytes = start
        self._learned = keep
        self._keep = 0.5

    def learn(self, values: Collection[bytes]) -> None:
        """Take a reply into account: the estimate grows at once and shrinks slowly."""
        if values:
            mean = sum(map(len, values)) / len(values)
            if mean > LARGE:
                self._keep = self._learned
            self._bytes = max(mean, self._keep * self._bytes + (1 - self._keep) * mean)

    def fits(self, most: int) -> int:
        """Return how many values to ask for at a time, from 1 to `most`."""
        return max(1, min(most, int(PAGE_BYTES / max(self._bytes, 1))))


class Traffic:
    """The requests of one client since its start."""

    def __init__(self, expected: int = PAGE_BYTES) -> None:
        """Create the counts of a client; values of a range are expected to have `expected` bytes before any is read."""
        self.requests: dict[str, Durations] = {}
        """Durations of requests, also failed ones, by kind: get, scan, scan_keys, lock, commit, timestamp, begin."""
        self.failures: Counter[Failure] = Counter()
        """The number of requests that failed, by what the failure means; many are tried again."""
        self.keys: Counter[str] = Counter()
        """The number of keys that TiKV sent, by kind of request."""
        self.got = Weight(4096, 0.9)
        """The size of values that are asked for by their keys."""
        self.scanned = Weight(expected, 0.97)
        """The size of values in ranges. Large ones are remembered for long, since a page that is too large costs the
        package seconds, and one that is too small a millisecond.
        """

    def took(self, kind: str, seconds: float) -> None:
        """Count a request that took some seconds."""
        durations = self.requests.get(kind)
        if durations is None:
            durations = self.requests[kind] = Durations(0.00025, 16)
        durations.add(seconds)

    def count(self, kind: str) -> int:
        """Return the number of requests of a kind."""
        return sum(self.requests[kind].counts) if kind in self.requests else 0
