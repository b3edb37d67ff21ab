"""Power cuts of a real file system on a recorded disk.

An ext4 image lies in a file of a FUSE file system of our own (`fuse`), under a loop device. A load runs on it, and the
image logs every write and every flush that reaches the disk, and every acknowledgement, in one order. A power cut is
then any point of that log: what was written up to the last flush is there, and each write after it is there, lost, or
torn at 512 bytes. The image of each point is mounted, which lets ext4 recover, the store is opened, and everything is
compared with a model of what was asked.
"""

import gc
import os
import pickle
import subprocess
import traceback
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.format.file_names import run_name, segment_name
from brainctl.engine.log import manifest
from brainctl.etcdpb import rpc_pb2 as pb
from tests.faults.power import kernel, load
from tests.faults.power.fuse import Fuse
from tests.faults.simulation.checks import find_state
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.model import Model
from tests.unit.engine.model import author, write

IMAGE_BYTES = 32 << 20
SECTOR = 512
SUPERBLOCK = range(1024, 2048)
"""Where ext4's is. It has a checksum that is looked at before the journal is, so a torn one cannot be mounted, whatever
is on the disk: it counts as one sector, as it is on disks whose sectors have 4096 bytes.
"""
LOST, TORN = 0.4, 0.2
MOUNT = "commit=1000"
"""ext4 writes nothing by itself that nobody synced, for as long as a run takes."""
OPTIONS = EngineOptions(segment_size=128 << 10, zero_ahead=4096)
REQUESTS = 2400


class Written(NamedTuple):
    """A write that reached the disk."""

    offset: int
    data: bytes


class Recording(NamedTuple):
    """A disk, what happened to it, and what was asked of the store on it."""

    image: bytes
    """As it was before."""
    events: list[Written | int | None]
    """In order: a write, an acknowledgement by the number of its request, None for a flush."""
    model: Model


class Disk:
    """A block image that remembers what is done to it."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.events: list[Written | int | None] = []

    def size(self) -> int:
        return len(self.content)

    def read(self, length: int, offset: int) -> bytes:
        return bytes(self.content[offset : offset + length])

    def write(self, data: bytes, offset: int) -> None:
        self.content[offset : offset + len(data)] = data
        self.events.append(Written(offset, data))

    def sync(self) -> None:
        self.events.append(None)


class Notes:
    """A file whose writes are acknowledgements, in the order of the disk."""

    def __init__(self, disk: Disk) -> None:
        self._events = disk.events

    def size(self) -> int:
        return 0

    def read(self, length: int, offset: int) -> bytes:
        del length, offset
        return b""

    def write(self, data: bytes, offset: int) -> None:
        del offset
        self._events.append(int(data))

    def sync(self) -> None:
        pass


def empty_image(directory: Path) -> bytes:
    """An ext4 file system with nothing in it."""
    path = directory / "empty"
    path.write_bytes(b"")
    os.truncate(path, IMAGE_BYTES)
    ready = "lazy_itable_init=0,lazy_journal_init=0"
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-J", "size=4", "-E", ready, str(path)], check=True)
    return path.read_bytes()


def record(directory: Path, *, seed: int, requests: int, early: bool) -> Recording:
    """Run the load on a recorded disk, in a mount namespace of our own; OSError, AssertionError."""
    image = empty_image(directory)
    disk = Disk(image)
    served, mounted, result = directory / "served", directory / "store", directory / "requests"
    served.mkdir()
    mounted.mkdir()
    fuse = Fuse(str(served), {"disk": disk, "notes": Notes(disk)})
    child = os.fork()
    if child == 0:
        os.close(fuse.descriptor)
        failed = 1
        try:
            with kernel.mounted_image(str(served / "disk"), str(mounted), MOUNT):
                notes = os.open(served / "notes", os.O_WRONLY)
                load.run(mounted / "store", notes, result, seed=seed, count=requests, early=early)
                os.close(notes)
            failed = 0
        except BaseException:  # noqa: BLE001 - a forked child must not go on as its parent
            traceback.print_exc()
        finally:
            kernel.unmount(str(served), lazily=True)
            os._exit(failed)
    fuse.serve()
    assert os.waitpid(child, 0)[1] == 0, "the load failed"
    journal = Journal()
    for name, body in pickle.loads(result.read_bytes()):
        journal.hand_in(getattr(pb, name).FromString(body))
    return Recording(image, disk.events, journal.model)


# -- cutting --------------------------------------------------------------------------------------------------------


def points_of(recording: Recording, count: int, rng: Random) -> list[int]:
    """Random places in the log, from the first acknowledgement on, ascending."""
    first = next(at for at, event in enumerate(recording.events) if isinstance(event, int))
    return sorted(rng.randrange(first, len(recording.events) + 1) for _ in range(count))


def sectors(written: Written) -> list[Written]:
    """What of a write is torn from the rest, but not in itself."""
    end = written.offset + len(written.data)
    cuts = [at for at in range(written.offset, end, SECTOR) if at not in SUPERBLOCK[1:]]
    return [
        Written(at, written.data[at - written.offset : stop - written.offset])
        for at, stop in zip(cuts, [*cuts[1:], end], strict=True)
    ]


def survivors(unsynced: Sequence[Written], rng: Random) -> list[Written]:
    """What a disk may have kept of writes that were not flushed: all, nothing, or some sectors of each."""
    kept = []
    for one in unsynced:
        fate = rng.random()
        if fate >= LOST + TORN:
            kept.append(one)
        elif fate >= LOST:
            kept += [sector for sector in sectors(one) if rng.random() < 0.5]
    return kept


class Replay:
    """The disk as it was at one flush after the other."""

    def __init__(self, recording: Recording) -> None:
        self._events = recording.events
        self._content = bytearray(recording.image)
        self._at = 0
        self._flushes = [at for at, event in enumerate(self._events) if event is None]

    def cut(self, point: int, rng: Random, path: Path) -> int:
        """Leave in a file what the disk may hold after power went at `point`, which must not be before the last one
        asked for; how many requests had been acknowledged.
        """
        found = bisect_right(self._flushes, point - 1)
        flushed = self._flushes[found - 1] + 1 if found else 0
        for event in self._events[self._at : flushed]:
            if isinstance(event, Written):
                self._content[event.offset : event.offset + len(event.data)] = event.data
        self._at = max(self._at, flushed)
        path.unlink(missing_ok=True)  # a file system that is still being let go of may write to the old one
        with path.open("w+b") as file:
            file.write(self._content)
            unsynced = [event for event in self._events[flushed:point] if isinstance(event, Written)]
            for offset, data in survivors(unsynced, rng):
                file.seek(offset)
                file.write(data)
        return max((event for event in self._events[:point] if isinstance(event, int)), default=0)


# -- checking -------------------------------------------------------------------------------------------------------


def check(directory: Path, model: Model, acknowledged: int) -> None:
    """The store opens as what it was after some number of requests, `acknowledged` at least, and works.

    AssertionError or BrainctlError when it does not.
    """
    with closing(Engine.open(directory, options=OPTIONS)) as engine:
        find_state(engine, model, acknowledged)
        revision = engine.view.revision
        write(engine, author(engine.view.get, engine.view.revision, [(b"after", b"x" * 600)]))
    with closing(Engine.open(directory, options=OPTIONS)) as engine:
        assert engine.view.revision == revision + 1
        listing = manifest.load(str(directory), engine.background._fs)
        found = {path.name for path in directory.iterdir() if path.suffix in (".seg", ".run")}
    assert listing is not None
    named = {segment_name(*segment) for segment in listing.segments.items()}
    named.update(run_name(number) for number in listing.runs)
    assert found == named, f"orphans: {found - named}"


def wrong_with(directory: Path, model: Model, acknowledged: int) -> str | None:
    """What `check` finds, in words; None when all is well."""
    try:
        check(directory, model, acknowledged)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        return f"{type(error).__name__}: {error}"
    return None


def try_points(recording: Recording, points: Sequence[int], seed: int, directory: Path) -> list[str]:
    """Cut at each point; what is wrong, one line each."""
    replay, wrong = Replay(recording), []
    image, mounted = directory / f"image{seed}", directory / f"cut{seed}"
    mounted.mkdir()
    for number, point in enumerate(points):
        acknowledged = replay.cut(point, Random(f"{seed} {number}"), image)
        with kernel.mounted_image(str(image), str(mounted), MOUNT):
            verdict = wrong_with(mounted / "store", recording.model, acknowledged)
        if verdict:
            wrong.append(f"point {point} of seed {seed}: {verdict}")
    return wrong


def explore(recording: Recording, count: int, seed: int, directory: Path, processes: int = 2) -> list[str]:
    """Cut at random points, on several processes; what is wrong."""
    points = points_of(recording, count, Random(seed))
    share = -(-count // processes)
    children: list[tuple[int, Path]] = []
    for number in range(processes):
        result = directory / f"result{number}"
        child = os.fork()
        if child == 0:
            gc.freeze()  # what there is already need not be looked at after each point
            mine = points[number * share : (number + 1) * share]
            try:
                result.write_bytes(pickle.dumps(try_points(recording, mine, seed * 100 + number, directory)))
            except BaseException:  # noqa: BLE001 - a forked child must not go on as its parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append((child, result))
    wrong: list[str] = []
    for child, result in children:
        assert os.waitpid(child, 0)[1] == 0, "a process of the explorer failed"
        wrong += pickle.loads(result.read_bytes())
    return wrong
