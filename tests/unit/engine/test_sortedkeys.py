"""Sorted keys against a plain sorted list."""

from bisect import bisect_left

from hypothesis import given, settings
from hypothesis import strategies as st

from brainctl.engine.index import sorted_keys
from brainctl.engine.index.sorted_keys import SortedKeys

KEY = st.binary(max_size=2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sets(KEY, max_size=40)),
        st.tuples(st.just("remove"), st.sets(KEY, max_size=20)),
        st.tuples(st.just("read"), st.tuples(KEY, st.none() | KEY, st.integers(0, 5))),
    ),
    max_size=30,
)


def read(keys: SortedKeys, plain: list[bytes], start: bytes, end: bytes | None, limit: int):
    wanted = [key for key in plain if start <= key and (end is None or key < end)]
    assert keys.count(start, end) == len(wanted)
    assert keys.slice(start, end, limit) == wanted[: limit or None]
    assert keys.position(start) == bisect_left(plain, start)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_any_order_of_steps(steps: list[tuple[str, object]]):
    sorted_keys._CHUNK, usual = 4, sorted_keys._CHUNK
    try:
        keys, plain = SortedKeys(), set()
        for kind, argument in steps:
            if kind == "read":
                read(keys, sorted(plain), *argument)
                continue
            for key in argument:
                if kind == "add" and key not in plain:
                    keys.add(key)
                    plain.add(key)
                elif kind == "remove" and key in plain:
                    keys.remove(key)
                    plain.remove(key)
            assert len(keys) == len(plain)
        read(keys, sorted(plain), b"", None, 0)
    finally:
        sorted_keys._CHUNK = usual


def test_many_keys_in_growing_batches():
    keys, plain = SortedKeys(), []
    for size in (1, 10, 5_000, 3, 20_000, 1_000):
        new = [b"%09d" % (number * 7919 % 1_000_003 + size) for number in range(size)]
        for key in set(new) - set(plain):
            keys.add(key)
            plain.append(key)
        plain.sort()
        read(keys, plain, b"", None, 0)
        read(keys, plain, plain[len(plain) // 2], plain[-1], 7)
    assert all(len(chunk) < 2 * sorted_keys._CHUNK for chunk in keys._chunks)
