"""The stages of writes: nothing of a write's time is left out, and every write is counted."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.clock import Durations, ManualClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.local import write_stages
from brainctl.node.local.write_stages import KEPT, STAGES, Stages
from brainctl.stores.in_process import open_directory

MOMENTS = ("submitted", "evaluated", "sealed", "encoded", "taken", "written", "woken", "applied")


def group(measured: Stages, clock: ManualClock, revisions: range, steps: list[float], writes: int = 1) -> None:
    """One group whose moments are `steps` seconds apart; half of what passed on the writer thread was a sync."""
    path = write_stages.GroupTimeline()
    measured.heard()
    path.received = measured.heard_at
    for name, step in zip(MOMENTS, steps, strict=False):
        clock.advance(step)
        setattr(path, name, clock.monotonic())
    path.syncing = (path.written - path.taken) / 2
    path.writes = writes
    clock.advance(steps[-1])
    measured.done(path, revisions)


@given(st.lists(st.floats(0, 10), min_size=9, max_size=9))
def test_the_stages_are_the_whole_way(steps: list[float]):
    clock = ManualClock(0)
    measured = Stages(clock)
    group(measured, clock, range(2, 3), steps)
    assert sum(each.seconds for each in measured.durations.values()) == pytest.approx(clock.now)


@pytest.mark.parametrize("groups", [1, KEPT - 1, KEPT, KEPT + 1, 3 * KEPT + 7])
def test_every_write_is_counted_once(groups: int):
    clock = ManualClock()
    measured = Stages(clock)
    for number in range(groups):
        group(measured, clock, range(number, number + 1), [1e-5] * 9, writes=3)
        if number == groups // 2:
            assert sum(measured.durations["sync"].counts) == 3 * (number + 1)
    for durations in measured.durations.values():
        assert sum(durations.counts) == 3 * groups
    assert sum(measured.groups.counts) == groups
    assert measured.groups.seconds == 3 * groups


def test_the_group_of_a_revision():
    clock = ManualClock()
    measured = Stages(clock)
    made = [range(4, 5), range(5, 5), range(5, 9)]
    for revisions in made:
        group(measured, clock, revisions, [0.0] * 9)
    found = [measured.of(revision) for revision in range(3, 10)]
    assert [path and path.revisions for path in found] == [None, made[0], *[made[2]] * 4, None]


@pytest.mark.parametrize(("seconds", "bucket"), [(0, 0), (0.9e-6, 0), (1.1e-6, 1), (2.1e-6, 2), (100.0, 5)])
def test_buckets(seconds: float, bucket: int):
    one, many = Durations(1e-6, 5), Durations(1e-6, 5)
    one.add(seconds, 2)
    many.add_all([seconds, seconds], [1, 1])
    assert one.counts == many.counts
    assert one.counts.index(2) == bucket
    assert one.seconds == many.seconds == 2 * seconds


def test_a_real_write_has_every_stage(tmp_path: Path):
    async def run() -> dict[str, object] | None:
        store = open_directory(tmp_path / "store")
        revision = (await store.put(pb.PutRequest(key=b"k"))).header.revision
        described = store.node.stages.describe(revision)
        await store.close()
        return described

    described = asyncio.run(run())
    assert described is not None
    took = described["microseconds"]
    assert isinstance(took, dict)
    assert list(took) == list(STAGES)
    assert all(value >= 0 for value in took.values())
    assert took["sync"] > 0
    assert described["writes"] == 1
