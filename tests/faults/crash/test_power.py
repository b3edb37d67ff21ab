"""Power goes at every sync of a workload: unsynced sectors are kept, lost or torn, names come and go."""

from itertools import pairwise
from random import Random

import pytest

from brainctl.engine.engine import Engine
from brainctl.errors import StoreDamaged
from tests.faults.crash.workload import DIRECTORY, OPTIONS, Workload, check
from tests.support.memory_fs import MemoryFileSystem

pytestmark = pytest.mark.crash
Image = tuple[MemoryFileSystem, int, int]
"""A file system after a crash, commits acknowledged by then, commits handed in by then."""


def crash_images(workload: Workload, fs: MemoryFileSystem, steps: int, tries: int) -> list[Image]:
    images: list[Image] = []

    def power_off() -> None:
        for number in range(tries):
            clone = fs.crash_clone(Random(len(images) * 7 + number))
            images.append((clone, workload.acknowledged, len(workload.models)))

    fs.before_sync = power_off
    workload.run(fs, steps)
    power_off()
    return images


def losses(workload: Workload, images: list[Image]) -> int:
    """Images that lost something acknowledged, or do not open."""
    lost = 0
    for clone, acknowledged, submitted in images:
        try:
            check(clone, workload.models[:submitted], acknowledged)
        except (AssertionError, StoreDamaged):
            lost += 1
    return lost


@pytest.mark.parametrize("seed", range(6))
def test_nothing_acknowledged_is_lost(seed: int):
    workload = Workload(seed)
    images = crash_images(workload, MemoryFileSystem(), steps=70, tries=3)
    assert len(images) > 300
    assert any("-1.seg" in path for image in images for path in image[0].paths()), "nothing was ever reclaimed"
    for clone, acknowledged, submitted in images:
        check(clone, workload.models[:submitted], acknowledged)


def test_a_disk_that_lies_about_syncs_is_caught():
    workload = Workload(1)
    images = crash_images(workload, MemoryFileSystem(lies=True), steps=70, tries=1)
    assert losses(workload, images) > 0.8 * len(images)


def test_acknowledging_before_the_sync_is_caught():
    workload = Workload(1, early=True)
    images = crash_images(workload, MemoryFileSystem(), steps=70, tries=3)
    in_write = [image for image, after in pairwise(images) if image[1] != after[1]]
    assert losses(workload, images) > 0.5 * len(in_write) > 0


def test_power_goes_again_during_recovery():
    workload = Workload(3)
    images = crash_images(workload, MemoryFileSystem(), steps=70, tries=4)
    during = 0
    for number, (clone, acknowledged, submitted) in enumerate(images):
        again: list[MemoryFileSystem] = []
        clone.before_sync = lambda clone=clone, again=again, n=number: again.append(clone.crash_clone(Random(n)))
        Engine.open(DIRECTORY, clone, OPTIONS, Random(2)).close()
        for image in again:
            check(image, workload.models[:submitted], acknowledged)
        during += len(again)
    assert during > 20
