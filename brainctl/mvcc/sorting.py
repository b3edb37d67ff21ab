"""Sorting in steps: a sort of many keys takes as long as reading them."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final, TypeVar

from brainctl.mvcc.steps import STEP_KEYS, Steps, in_pieces

T = TypeVar("T")
_SAMPLES: Final = 16
"""Items that are looked at to find each bound between two buckets."""


def sort(items: list[T], key: Callable[[T], Any], *, reverse: bool) -> Steps[list[T]]:
    """Return, in steps, the items in the order of `key`; those with equal keys keep their order, as in `list.sort`.

    Many items are first spread over buckets with bounds that a sample gives, and then each bucket is sorted. Items
    equal to a bound have a bucket of their own, which is in order already: many equal items do not make one bucket that
    takes long to sort.
    """
    if len(items) <= STEP_KEYS:
        return sorted(items, key=key, reverse=reverse)
    buckets = len(items) // STEP_KEYS + 1
    stride = max(1, len(items) // (buckets * _SAMPLES))
    sample: list[Any] = []
    for piece in in_pieces(items[::stride]):
        sample += map(key, piece)
        yield len(piece)
    sample.sort()
    bounds = sorted(set(sample[_SAMPLES // 2 :: max(1, len(sample) // buckets)]))
    spread: list[list[T]] = [[] for _ in range(2 * len(bounds) + 1)]
    for piece in in_pieces(items):
        for item in piece:
            value = key(item)
            place = bisect_left(bounds, value)
            is_bound = place < len(bounds) and bounds[place] == value
            spread[2 * place + is_bound].append(item)
        yield len(piece)
    found: list[T] = []
    order = range(len(spread))
    for place in reversed(order) if reverse else order:
        bucket = spread[place]
        if place % 2 == 0:
            bucket.sort(key=key, reverse=reverse)
            yield len(bucket)
        found += bucket
    return found
