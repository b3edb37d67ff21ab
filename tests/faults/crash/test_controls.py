"""Planted bugs, each of which the tests next door must catch: a green run of those means something."""

from collections.abc import Callable, Iterator
from mmap import mmap
from struct import error as StructError  # noqa: N812 - it is a class

import pytest

from brainctl.engine.background import index_compactor, segment_rewrite
from brainctl.engine.background import reclaimer as reclaim
from brainctl.engine.format import batch as frame
from brainctl.engine.format import batch_reader
from brainctl.engine.format import index_block as node
from brainctl.engine.index import dead_versions
from brainctl.engine.log import log_writer as writer
from brainctl.engine.log import segment
from brainctl.engine.log import torn_write as tear
from brainctl.errors import StoreDamaged
from brainctl.mvcc.commit import Commit
from tests.faults.crash import test_faults, test_last_batch, test_rot
from tests.faults.crash.test_power import crash_images, losses
from tests.faults.crash.workload import Workload, check
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine import test_reclaim, test_runs

pytestmark = pytest.mark.crash
Patch = pytest.MonkeyPatch


def power_cuts():
    """What test_power does, until something is lost."""
    for seed in range(6):
        workload = Workload(seed)
        images = crash_images(workload, MemoryFileSystem(), steps=70, tries=2)
        assert losses(workload, images) == 0


def kills_and_reads():
    """Everything is read back, before and after opening again."""
    for seed in range(12):
        fs, workload = MemoryFileSystem(), Workload(seed)
        workload.run(fs, 90)
        engine, model = workload.engine, workload.models[-1]
        assert engine is not None
        model.check(engine)
        check(fs.clone(), workload.models, workload.acknowledged)


def flipped_bits():
    test_last_batch.test_every_flipped_bit_is_refused(test_last_batch.make_store())


def rot_in_runs():
    test_rot.test_damage_in_runs_under_an_open_store_is_never_served(test_rot.make_store())


def rot_while_open():
    test_rot.test_damage_under_an_open_store_is_never_served(test_rot.make_store())


def nothing_is_cut(patch: Patch):
    patch.setattr(tear, "cut", lambda *_, **__: None)


def everything_is_torn(patch: Patch):
    patch.setattr(tear, "check_torn", lambda *_, **__: None)


def nothing_is_torn(patch: Patch):
    def refuse(*_: object, **__: object) -> None:
        raise StoreDamaged("offset")

    patch.setattr(tear, "check_torn", refuse)


def later_groups_prove_nothing(patch: Patch):
    patch.setattr(writer, "seal", lambda batch, _group, seal=writer.seal: seal(batch, 1))


def zero_sectors_are_not_written_down(patch: Patch):
    original = writer.seal

    def seal(batch: writer.EncodedBatch, group: int) -> bytes:
        data, seed = original(batch, group), batch.segment.seed
        header = frame.unpack(data, seed)
        assert header is not None
        return frame.pack(header._replace(zero_sectors=0), seed) + data[frame.HEADER_SIZE :]

    patch.setattr(writer, "seal", seal)


def batches_are_not_checked(patch: Patch):
    def sound(data: bytes, seed: int, offset: int, *_: object, **__: object) -> Iterator[tuple[int, frame.BatchHeader]]:
        while (header := frame.unpack(data[offset : offset + frame.HEADER_SIZE], seed)) is not None:
            yield offset, header
            offset += header.span

    patch.setattr(batch_reader, "batches", sound)


def records_are_not_checked(patch: Patch):
    def record(part: segment.Segment, address: int) -> bytes:
        place = address if part.extents is None else part.extents.place(address)
        return part.mapped[place : place + segment.read_place(part.mapped, place)[0]]

    patch.setattr(segment.Segment, "record", record)


def tombstones_go_too_early(patch: Patch):
    patch.setattr(reclaim, "droppable", lambda parts, number: {*parts[number].dead, *parts[number].graves})


def versions_die_too_early(patch: Patch):
    due = dead_versions.DeadVersions.due
    patch.setattr(dead_versions.DeadVersions, "due", lambda self, compacted, *rest: due(self, compacted + 1, *rest))


def packed_files_are_not_synced(patch: Patch):
    patch.setattr(segment_rewrite.SegmentRewrite, "_sync", lambda *_, **__: None)


def directories_are_not_synced(patch: Patch):
    patch.setattr(MemoryFileSystem, "sync_directory", lambda self, _path: self.before_sync())


def runs_are_not_synced(patch: Patch):
    patch.setattr(index_compactor.RunBuild, "_sync", lambda *_, **__: None)


def blocks_are_not_checked(patch: Patch):
    def unpack(data: mmap, offset: int, salt: int, path: str) -> node.IndexBlock:
        del salt, path
        _crc, level, count, size = node._HEADER.unpack_from(data, offset)
        columns = 2 if 0 < level < node.LEASED_KEYS else 1
        end = offset + node._HEADER.size + count * (8 * columns + 4) + size
        return node._parse(data[offset + 4 : end], level, count, columns, end)

    patch.setattr(node, "unpack", unpack)


def segments_are_packed_before_runs_have_them(patch: Patch):
    patch.setattr(index_compactor.IndexCompactor, "settled", None)


def failures_are_forgotten(patch: Patch):
    original = writer.LogWriter.encode

    def encode(self: writer.LogWriter, commit: Commit) -> writer.EncodedBatch:
        self.failure = None
        return original(self, commit)

    patch.setattr(writer.LogWriter, "encode", encode)


CONTROLS: list[tuple[Callable[[Patch], None], Callable[[], None]]] = [
    (nothing_is_cut, test_last_batch.test_an_unfinished_write_does_not_come_back),
    (everything_is_torn, flipped_bits),
    (nothing_is_torn, power_cuts),
    (zero_sectors_are_not_written_down, flipped_bits),
    (batches_are_not_checked, flipped_bits),
    (records_are_not_checked, rot_while_open),
    (tombstones_go_too_early, test_reclaim.test_a_deleted_key_does_not_come_back),
    (versions_die_too_early, kills_and_reads),
    (packed_files_are_not_synced, power_cuts),
    (directories_are_not_synced, power_cuts),
    (runs_are_not_synced, power_cuts),
    (segments_are_packed_before_runs_have_them, test_runs.reclaim_never_outruns_the_index),
    (blocks_are_not_checked, rot_in_runs),
    (failures_are_forgotten, test_faults.test_a_sync_is_never_tried_again),
]


@pytest.mark.parametrize(("plant", "detector"), CONTROLS, ids=lambda function: function.__name__)
def test_planted_bugs_are_caught(monkeypatch: Patch, plant: Callable[[Patch], None], detector: Callable[[], None]):
    plant(monkeypatch)
    with pytest.raises((AssertionError, StoreDamaged, StructError, pytest.fail.Exception)):
        detector()


def test_the_detector_of_its_own_is_quiet_without_them():
    kills_and_reads()


def test_a_flip_before_the_last_group_needs_its_group(monkeypatch: Patch):
    """Zeros in an older batch are only known as damage because later batches name their group."""
    later_groups_prove_nothing(monkeypatch)
    with pytest.raises(AssertionError):
        test_last_batch.test_lost_sectors_before_the_last_write_are_refused(test_last_batch.make_store())
