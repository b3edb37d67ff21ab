"""Which watchers a key concerns, against a scan over all of them."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from brainctl.mvcc.watch_index import Cells, Subscription, WatchIndex

points = st.binary(max_size=3)
spans = st.tuples(points, st.none() | points).filter(lambda span: span[1] is None or span[0] < span[1])


@dataclass(eq=False)
class Item:
    interest: Subscription


def covers(span: tuple[bytes, bytes | None], key: bytes) -> bool:
    return span[0] <= key and (span[1] is None or key < span[1])


@given(st.lists(spans, max_size=12), st.data())
def test_cells_hold_what_covers_a_key(added: list[tuple[bytes, bytes | None]], data: st.DataObject) -> None:
    cells: Cells[object] = Cells()
    present = []
    for span in added:
        item = object()
        cells.add(*span, item)
        present.append((span, item))
        if data.draw(st.booleans()):
            gone = present.pop(data.draw(st.integers(0, len(present) - 1)))
            cells.remove(*gone[0], gone[1])
        key = data.draw(points)
        assert list(cells.at(key)) == [item for span, item in present if covers(span, key)]
    for span, item in present:
        cells.remove(*span, item)
    assert len(cells) == 1, "cells that nothing tells apart are merged"


@given(st.lists(st.tuples(spans, st.booleans(), st.booleans()), max_size=10), points)
def test_index_finds_the_audiences_of_a_key(
    added: list[tuple[tuple[bytes, bytes | None], bool, bool]], key: bytes
) -> None:
    index: WatchIndex[Item] = WatchIndex()
    items = []
    for (start, end), single, prev_kv in added:
        item = Item(Subscription(start, start + b"\0" if single else end, prev_kv=prev_kv))
        index.add(item)
        items.append(item)
    found = [item for audience in index.of(key) for item in audience.members]
    assert set(found) == {item for item in items if covers(item.interest[:2], key)}
    assert len(found) == len(set(found))
    for item in items:
        index.remove(item)
    assert not index
    assert index.of(key) == ()


def test_watchers_with_one_interest_share_an_audience() -> None:
    index: WatchIndex[Item] = WatchIndex()
    for _ in range(100):
        index.add(Item(Subscription(b"a", b"b")))
    (audience,) = index.of(b"aa")
    assert len(audience.members) == 100


def test_distinct_prefixes_do_not_see_each_other() -> None:
    index: WatchIndex[Item] = WatchIndex()
    for number in range(1000):
        index.add(Item(Subscription(b"/p%04d/" % number, b"/p%04d0" % number)))
    assert len(index.of(b"/p0500/x")) == 1
    assert not index.of(b"/q")
