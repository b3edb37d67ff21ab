"""Cuts of the key space: in order, few questions, parts of similar size."""

import bisect

from hypothesis import given
from hypothesis import strategies as st

from brainctl.migrate.etcd_source.range_splitter import MAX_QUESTIONS, Splitter, prefix_end
from tests.unit.migrate.model import now


class Keys:
    """A sorted set of keys that counts the questions."""

    def __init__(self, keys: list[bytes]) -> None:
        self.keys = sorted(keys)
        self.questions = 0

    def _slice(self, start: bytes, end: bytes) -> tuple[int, int]:
        self.questions += 1
        low = bisect.bisect_left(self.keys, start)
        return low, max(low, bisect.bisect_left(self.keys, end)) if end else len(self.keys)

    async def count(self, start: bytes, end: bytes) -> int:
        low, high = self._slice(start, end)
        return high - low

    async def first(self, start: bytes, end: bytes) -> bytes | None:
        low, high = self._slice(start, end)
        return self.keys[low] if low < high else None


def sizes(keys: list[bytes], cuts: tuple[bytes, ...]) -> list[int]:
    edges = [bisect.bisect_left(sorted(keys), cut) for cut in cuts]
    return [high - low for low, high in zip([0, *edges], [*edges, len(keys)], strict=True)]


def test_a_kubernetes_like_key_space_is_cut_evenly() -> None:
    kinds = {"pods": 9_000, "events": 5_000, "configmaps": 400, "secrets": 300, "minions": 300}
    keys = [f"/registry/{kind}/ns-{n % 7}/{kind}-{n:06}".encode() for kind, size in kinds.items() for n in range(size)]
    source = Keys(keys)
    cuts = now(Splitter(source.count, source.first).splits(len(keys), min_keys=1))
    assert list(cuts) == sorted(set(cuts))
    parts = sizes(keys, cuts)
    assert len(parts) >= 8
    assert max(parts) <= 2 * len(keys) // 8
    assert source.questions <= 2 * MAX_QUESTIONS


def test_few_keys_are_not_cut() -> None:
    source = Keys([b"/%d" % number for number in range(100)])
    assert now(Splitter(source.count, source.first).splits(100)) == ()


@given(st.sets(st.binary(min_size=1, max_size=4), max_size=60))
def test_any_key_space_is_cut_in_order(keys: set[bytes]) -> None:
    source = Keys(list(keys))
    cuts = now(Splitter(source.count, source.first).splits(len(keys), parts=4, min_keys=1))
    assert list(cuts) == sorted(set(cuts))
    assert sum(sizes(list(keys), cuts)) == len(keys)


@given(st.binary(min_size=1, max_size=3), st.binary(max_size=3))
def test_the_end_of_a_prefix_is_beyond_its_keys(prefix: bytes, suffix: bytes) -> None:
    end = prefix_end(prefix)
    assert not end or prefix + suffix < end
