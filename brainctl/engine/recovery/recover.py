"""Read the segments of a store in order, and build what the engine keeps in memory.

Whatever the process or the machine was doing when it stopped, a store is opened in this one way; a clean close leaves
nothing that it would need.
"""

from collections.abc import Sequence

from brainctl.engine.format import batch
from brainctl.engine.format.extent import EXTENT_SIZE
from brainctl.engine.format.file_names import segment_name
from brainctl.engine.format.segment_header import DATA, LOG, PACKED, RECYCLED, unpack_header
from brainctl.engine.index.dead_versions import DeadVersions
from brainctl.engine.index.key_index import KeyIndex
from brainctl.engine.index.log_coverage import LogCoverage, SegmentState
from brainctl.engine.index.run_reader import Run
from brainctl.engine.log import torn_write
from brainctl.engine.log.manifest import Listing
from brainctl.engine.log.segment import Extents, Segment
from brainctl.engine.recovery.log_replay import read_log, read_packed
from brainctl.engine.recovery.recovered import Recovered
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import IndexDamaged, StoreDamaged


def recover(
    directory: str, fs: FileSystem, listing: Listing, runs: Sequence[Run] = (), *, repair: bool = True
) -> Recovered:
    """Read a store: all of the log, or what lies behind the place up to which runs cover it.

    Args:
        directory: that of the store.
        fs: the file system.
        listing: what the manifest names.
        runs: those of the index, newest first.
        repair: cut an unfinished write at the end, which writes zeros to the file; otherwise it is passed over, and
            nothing is written.

    Raises:
        StoreDamaged: bytes are not as they were written; names file and offset.
        OSError: a file cannot be read.
    """
    state = Recovered(garbage=DeadVersions(runs), index=KeyIndex(None, runs))
    covered = _begin(state, listing, runs[0]) if runs else LogCoverage()
    torn: tuple[Segment, int] | None = None
    for number in sorted(listing.segments):
        part = _open(directory, fs, listing, number, write=repair)
        state.end.number = number
        if number < covered.segment:
            _pass_over(state, part, covered.segments.get(number))
            continue
        if part.extents is not None:
            read_packed(state, part)
            continue
        if number == covered.segment:
            _join(state, part, covered)
            assert part.file is not None
            part.file.fetch(covered.offset)
        stop = read_log(state, part)
        if part.sequences == (0, 0):
            state.end.spares.append(part)
        torn = _check_end(state, part, stop, torn)
    if torn is not None and repair:
        torn_write.cut(*torn)
    for part in state.segments.values():
        if part is not state.end.tail:
            part.close()
    state.index = KeyIndex(state.entries, runs)
    return state


def _check_end(
    state: Recovered, part: Segment, stop: int, torn: tuple[Segment, int] | None
) -> tuple[Segment, int] | None:
    """Return the unfinished write in which the log ends, as segment and offset; None without one.

    Raises:
        StoreDamaged: it is damage.
    """
    assert part.file is not None
    clean = torn_write.is_clean(part.mapped, stop, part.seed, part.file.data_from, stale=part.stale)
    if torn is not None and (part.sequences != (0, 0) or not clean):
        raise StoreDamaged(f"{torn[0].path}: the batch at offset {torn[1]} is damaged: {part.path} came after it")
    if clean:
        return torn
    torn_write.check_torn(part.mapped, stop, state.end.sequence + 1, part.seed, part.path, stale=part.stale)
    return part, stop


# -- what runs cover --------------------------------------------------------------------------------------------


def _begin(state: Recovered, listing: Listing, newest: Run) -> LogCoverage:
    """Start from the state in the newest run, and return how far it covers the log.

    Raises:
        StoreDamaged: that does not fit the segments that there are.
    """
    state.covered = covered = newest.covered()
    if listing.segments.get(covered.segment) != 0 or covered.segment not in covered.segments:
        where = newest.header.sections[2].offset
        raise IndexDamaged(f"{newest.path}: the segment of its place in the log is not there (offset {where})")
    end = state.end
    end.revision, end.compacted, end.sequence = covered.revision, covered.compacted, covered.sequence
    end.meta = dict(covered.meta)
    return covered


def _pass_over(state: Recovered, part: Segment, known: SegmentState | None) -> None:
    """Take in a segment whose records are in runs, without reading them."""
    if part.extents is None and known is None:
        state.end.obsolete.append(part)
        return
    state.segments[part.number] = part
    part.unmarked = True
    if part.extents is not None:
        part.extents = Extents(part.read_extents)
    if known is not None and known.generation == part.generation:
        part.sequences, part.end = (known.first, known.last), known.end
        part.record_bytes, part.unswept_bytes = known.record_bytes, known.dead_bytes


def _join(state: Recovered, part: Segment, covered: LogCoverage) -> None:
    """Take in the segment in which the place lies that runs cover; it is read from there on."""
    known = covered.segments[part.number]
    part.sequences, part.record_bytes = (known.first, known.last), known.record_bytes
    part.unswept_bytes, part.unmarked = known.dead_bytes, True
    part.end = state.end.offset = covered.offset
    state.segments[part.number] = state.end.tail = part


def _open(directory: str, fs: FileSystem, listing: Listing, number: int, *, write: bool) -> Segment:
    """Open a segment, and check its file against its header.

    Raises:
        StoreDamaged: the file is missing, or is not what its header says.
    """
    generation = listing.segments[number]
    path = f"{directory}/{segment_name(number, generation)}"
    part = Segment(number, generation, path, batch.salt(listing.store, number))
    try:
        file = fs.open(part.path, write=write)
    except FileNotFoundError:
        raise StoreDamaged(f"{part.path}: the file is missing (offset 0)") from None
    part.file = file
    header = unpack_header(file.read(DATA, 0), part.path)
    kinds = (PACKED,) if generation else (LOG, RECYCLED)
    named = (header.number, header.generation, header.store) == (number, generation, listing.store)
    if header.kind not in kinds or not named:
        raise StoreDamaged(f"{part.path}: the header at offset 0 is that of another segment")
    part.size = file.size()
    if part.size != header.end:
        raise StoreDamaged(f"{part.path}: {part.size} bytes long instead of {header.end} (offset {part.size})")
    part.map = file.map()
    part.stale = header.kind == RECYCLED
    part.written = part.size if part.stale else 0
    if header.kind == PACKED:
        part.extents = Extents()
        part.end = header.end
        part.sequences = (header.first, header.last)
        part.record_bytes = header.end - DATA - header.extents * EXTENT_SIZE
    return part
