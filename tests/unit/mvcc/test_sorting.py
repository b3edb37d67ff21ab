"""Sorting in steps gives what `sorted` gives, and no step is large."""

from hypothesis import given
from hypothesis import strategies as st

from brainctl.mvcc.sorting import sort
from brainctl.mvcc.steps import STEP_KEYS, finish


@given(st.lists(st.integers(0, 50) | st.integers(), max_size=40), st.sampled_from([1, 7, 100]), st.booleans())
def test_it_is_that_of_sorted(numbers: list[int], times: int, reverse: bool) -> None:
    items = list(enumerate(numbers * times))
    wanted = sorted(items, key=lambda item: item[1], reverse=reverse)
    assert finish(sort(items, lambda item: item[1], reverse=reverse)) == wanted


def test_steps_are_small_also_when_many_are_equal() -> None:
    for numbers in (range(20_000), [7] * 20_000, [n % 3 for n in range(20_000)]):
        steps = list(sort(list(numbers), lambda number: number, reverse=False))
        assert max(steps) <= 4 * STEP_KEYS
