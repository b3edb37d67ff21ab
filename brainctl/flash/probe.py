"""Measures how fast a medium makes writes durable. Its file has no name, so that nothing can stay behind."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from tempfile import mkstemp
from typing import NamedTuple

from brainctl.clock import Clock

SIZES = (2300, 4096, 16 << 10, 64 << 10, 256 << 10)
"""Bytes of one write; the first is what fio is told to write for etcd."""
NEW, PREPARED, SHIFTED = "new", "prepared", "shifted"
"""Where a write goes: behind the end of the file, which grows; into space that was written before; there, but not at a
multiple of 4096."""
_STREAM = 1 << 20
_SYNC_EVERY = 8 << 20
"""Of sequential writing: bytes of a write, and bytes between syncs, as the engine does at most."""
_LEAST = 20
"""Syncs that a distribution is made of at least, if the bytes allow it."""


class Case(NamedTuple):
    """One kind of write."""

    place: str
    size: int


@dataclass(slots=True)
class Latencies:
    """How long writes with their fdatasync took, in seconds, in ascending order."""

    seconds: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """The time that so large a share of them did not exceed; 0 without any."""
        found = self.seconds
        return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0

    @property
    def mean(self) -> float:
        """The mean."""
        return sum(self.seconds) / len(self.seconds) if self.seconds else 0.0

    @property
    def per_second(self) -> float:
        """How many follow each other in a second."""
        return 1 / self.mean if self.mean else 0.0


@dataclass(slots=True)
class Measured:
    """What a probe has found."""

    cases: dict[Case, Latencies]
    stream_bytes_per_second: float
    """Of sequential writing, syncs included."""
    punches: bool
    """Whether the file system can free the middle of a file."""
    bytes: int
    """Written altogether."""
    seconds: float


def cases() -> list[Case]:
    """All kinds of write that are measured, those that matter most first."""
    found = [Case(place, size) for size in SIZES for place in (NEW, PREPARED)]
    return [*found, Case(SHIFTED, 4096)]


def probe(directory: Path, clock: Clock, seconds: float, limit: int, rng: Random) -> Measured:
    """Measure the medium under `directory` for about `seconds`, and write `limit` bytes at most. OSError.

    A fifth of both is for sequential writing.
    """
    began = clock.monotonic()
    found: dict[Case, Latencies] = {}
    written = 0
    with _nameless(directory) as file:
        each_bytes = (limit - limit // 5) // len(cases())
        for number, case in enumerate(cases()):
            left = seconds * 0.8 - (clock.monotonic() - began)
            part = max(left / (len(cases()) - number), 0.0)
            latencies, more = _measure(file, case, clock, part, each_bytes, rng)
            found[case] = latencies
            written += more
        rate, more = _stream(file, clock, max(seconds - (clock.monotonic() - began), 0.1), limit - written, rng)
        punches = _punches(file)
    return Measured(found, rate, punches, written + more, clock.monotonic() - began)


@contextmanager
def _nameless(directory: Path) -> Iterator[int]:
    """A new file in `directory` without a name; its space is free again when it is closed, or the process is killed."""
    try:
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
        descriptor, name = mkstemp(prefix=".brainctl-probe-", dir=directory)
        Path(name).unlink()
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _measure(file: int, case: Case, clock: Clock, seconds: float, limit: int, rng: Random) -> tuple[Latencies, int]:
    """Write and sync one after the other for so long, `limit` bytes at most; how many bytes."""
    os.ftruncate(file, 0)
    os.fsync(file)
    data = rng.randbytes(case.size)
    number = limit // case.size
    offset, written = 0, 0
    if case.place != NEW:
        # Half of the bytes prepare the space.
        number = max(number // 2, 1)
        written = _prepare(file, (number + 1) * _step(case) + 512)
        offset = 512 if case.place == SHIFTED else 0
    taken: list[float] = []
    end = clock.monotonic() + seconds
    for done in count():
        now = clock.monotonic()
        if done and (done >= number or (now >= end and done >= _LEAST) or now >= end + seconds):
            break
        os.pwrite(file, data, offset)
        os.fdatasync(file)
        taken.append(clock.monotonic() - now)
        offset += _step(case)
        written += case.size
    return Latencies(sorted(taken)), written


def _step(case: Case) -> int:
    """From one write to the next: the engine begins each at a multiple of 512, etcd where the last one ended."""
    return case.size if case.place == NEW else -(-case.size // 512) * 512


def _prepare(file: int, size: int) -> int:
    """Write so many zeros, and have them durable; how many bytes."""
    zeros = bytes(_STREAM)
    for at in range(0, size, _STREAM):
        os.pwrite(file, zeros[: min(_STREAM, size - at)], at)
    os.fsync(file)
    return size


def _stream(file: int, clock: Clock, seconds: float, limit: int, rng: Random) -> tuple[float, int]:
    """Bytes per second of writing one large piece after the other, and how many bytes that were."""
    os.ftruncate(file, 0)
    os.fsync(file)
    data = rng.randbytes(_STREAM)
    began = now = clock.monotonic()
    written = 0
    while written + _STREAM <= limit and now - began < seconds:
        os.pwrite(file, data, written)
        written += _STREAM
        if written % _SYNC_EVERY == 0:
            os.fdatasync(file)
        now = clock.monotonic()
    os.fdatasync(file)
    return written / max(clock.monotonic() - began, 1e-9), written


def _punches(file: int) -> bool:
    """Whether blocks in the middle of the file can be given back."""
    import ctypes  # noqa: PLC0415 - the one call that the os module does not have

    os.ftruncate(file, 1 << 20)
    os.pwrite(file, b"x" * 65536, 0)
    os.fsync(file)
    before = os.fstat(file).st_blocks
    keep_size, punch_hole = 1, 2
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return call(file, keep_size | punch_hole, 0, 65536) == 0 and os.fstat(file).st_blocks < before
