"""The measurement of how fast a disk makes writes durable. Its file has no name, so that nothing can stay behind."""

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
"""Bytes of one write; the first is the size that etcd recommends for fio."""
NEW, PREPARED, SHIFTED = "new", "prepared", "shifted"
"""The places of a write: behind the end of the file, which grows; in space that was written before; in such space, but
not at a multiple of 4096."""
_STREAM = 1 << 20
_SYNC_EVERY = 8 << 20
"""Sequential writing: _STREAM bytes per write, and at most this many bytes between syncs, as the engine does."""
_LEAST = 20
"""The least number of syncs of a distribution, if the limit of bytes allows it."""


class Case(NamedTuple):
    """One kind of write."""

    place: str
    size: int


@dataclass(slots=True)
class Latencies:
    """The times of writes with their fdatasync, in seconds, in ascending order."""

    seconds: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """Return the time that this share of them did not exceed (0.99 for the p99); 0 without any."""
        found = self.seconds
        return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0

    @property
    def mean(self) -> float:
        """Return the mean, in seconds."""
        return sum(self.seconds) / len(self.seconds) if self.seconds else 0.0

    @property
    def per_second(self) -> float:
        """Return how many such writes follow each other in a second."""
        return 1 / self.mean if self.mean else 0.0


@dataclass(slots=True)
class Measured:
    """The results of a probe."""

    cases: dict[Case, Latencies]
    stream_bytes_per_second: float
    """The rate of sequential writing, syncs included."""
    punches: bool
    """Whether the file system can free the middle of a file."""
    bytes: int
    """The bytes written altogether."""
    seconds: float


def cases() -> list[Case]:
    """Return all kinds of writes that are measured, the most important first."""
    found = [Case(place, size) for size in SIZES for place in (NEW, PREPARED)]
    return [*found, Case(SHIFTED, 4096)]


def probe(directory: Path, clock: Clock, seconds: float, limit: int, rng: Random) -> Measured:
    """Measure the disk under `directory` for about `seconds`, writing at most `limit` bytes.

    A fifth of both is for sequential writing.

    Raises:
        OSError: The file cannot be created or written.
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
    """Yield a new file in `directory` without a name.

    Its space is free again when it is closed or the process is killed.
    """
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
    """Write and sync again and again for `seconds`, at most `limit` bytes; return the times and the bytes written."""
    os.ftruncate(file, 0)
    os.fsync(file)
    data = rng.randbytes(case.size)
    number = limit // case.size
    offset, written = 0, 0
    if case.place != NEW:
        # Half of the bytes are spent on preparing the space.
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
    """Return the distance of two writes: the engine begins each at a multiple of 512, etcd where the last one ended."""
    return case.size if case.place == NEW else -(-case.size // 512) * 512


def _prepare(file: int, size: int) -> int:
    """Write `size` bytes of zeros, durably, and return their number."""
    zeros = bytes(_STREAM)
    for at in range(0, size, _STREAM):
        os.pwrite(file, zeros[: min(_STREAM, size - at)], at)
    os.fsync(file)
    return size


def _stream(file: int, clock: Clock, seconds: float, limit: int, rng: Random) -> tuple[float, int]:
    """Write one large piece after the other; return the bytes per second, and the bytes written."""
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
    """Return whether blocks in the middle of the file can be given back."""
    import ctypes  # noqa: PLC0415 - the one call that the os module does not have

    os.ftruncate(file, 1 << 20)
    os.pwrite(file, b"x" * 65536, 0)
    os.fsync(file)
    before = os.fstat(file).st_blocks
    keep_size, punch_hole = 1, 2
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return call(file, keep_size | punch_hole, 0, 65536) == 0 and os.fstat(file).st_blocks < before
