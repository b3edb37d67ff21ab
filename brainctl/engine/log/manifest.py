"""The list of the segments and runs that make up a store (docs/formats/manifest.md).

A file that it does not list is no part of the store, and a file that it lists must be there: so a segment can neither
be lost nor come back unnoticed. It is replaced whole, by renaming, whenever the list changes.
"""

import json
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

from crc32c import crc32c

from brainctl.engine.stats import Stats
from brainctl.engine.vfs.filesystem import FileSystem, block_bytes, create_anew, write_all
from brainctl.errors import StoreDamaged, StoreTooNew

NAME = "MANIFEST"
FORMAT = 2
"""Format 1 has no runs; it is read, and written while there are none."""


class Listing(NamedTuple):
    """The content of a manifest."""

    store: int
    """Identity of the store, 64 bits."""
    segments: dict[int, int]
    """Generation by segment number."""
    runs: tuple[int, ...] = ()
    """Numbers of the runs of the index, newest first."""


def render(listing: Listing) -> bytes:
    """Return the bytes of a manifest: one line of JSON, and one with its CRC-32C in hexadecimal."""
    segments = [[number, generation] for number, generation in sorted(listing.segments.items())]
    fields = {"format": FORMAT if listing.runs else 1, "store": f"{listing.store:016x}", "segments": segments}
    if listing.runs:
        fields["runs"] = listing.runs
    line = json.dumps(fields).encode() + b"\n"
    return line + b"%08x\n" % crc32c(line)


def parse(data: bytes, path: str) -> Listing:
    """Return the content of the manifest at `path`.

    Raises:
        StoreDamaged: The CRC does not match.
        StoreTooNew: A later build wrote it.
    """
    line, newline, check = data.partition(b"\n")
    if check != b"%08x\n" % crc32c(line + newline):
        raise StoreDamaged(f"{path}: its check value does not match; the file is damaged at offset 0")
    fields = json.loads(line)
    if fields["format"] not in (1, FORMAT):
        raise StoreTooNew(
            f"{path}: format {fields['format']} is of a later build; this one reads formats 1 to {FORMAT}"
        )
    return Listing(int(fields["store"], 16), dict(fields["segments"]), tuple(fields.get("runs", ())))


class Manifest:
    """The manifest of an open store. The writer thread and reclaim may both change it: they take turns."""

    def __init__(self, directory: str, fs: FileSystem, stats: Stats, listing: Listing) -> None:
        self.store = listing.store
        self._segments = dict(listing.segments)
        self._runs = listing.runs
        self._directory = directory
        self._fs = fs
        self.stats = stats
        self._turn = Lock()
        self.in_doubt = False
        """Whether an error has left it open which of two manifests the store has."""

    def replace(self, number: int, generation: int | None) -> None:
        """List a segment with a generation, or remove it from the list (None); durable on return.

        Raises:
            OSError: It cannot be written.
        """
        with self._turn:
            segments = dict(self._segments)
            if generation is None:
                del segments[number]
            else:
                segments[number] = generation
            self._write(segments, self._runs)

    def list_runs(self, runs: Sequence[int]) -> None:
        """List the runs of the index, newest first; durable on return.

        Raises:
            OSError: It cannot be written.
        """
        with self._turn:
            self._write(self._segments, tuple(runs))

    def _write(self, segments: dict[int, int], runs: tuple[int, ...]) -> None:
        _write_new(self._directory, self._fs, self.stats, Listing(self.store, segments, runs))
        self.in_doubt = True
        _install(self._directory, self._fs, self.stats)
        self.in_doubt = False
        self._segments, self._runs = segments, runs


def create(directory: str, fs: FileSystem, stats: Stats, listing: Listing) -> None:
    """Write the first manifest of a store; durable on return.

    Raises:
        OSError: It cannot be written.
    """
    _write_new(directory, fs, stats, listing)
    _install(directory, fs, stats)


def _write_new(directory: str, fs: FileSystem, stats: Stats, listing: Listing) -> None:
    """Write a manifest beside the one in use, and make its bytes durable."""
    data = render(listing)
    file = create_anew(fs, f"{directory}/{NAME}.new")
    try:
        write_all(file, data, 0)
        file.sync()
    finally:
        file.close()
    stats.meta_bytes += block_bytes(0, len(data))
    stats.syncs += 1


def _install(directory: str, fs: FileSystem, stats: Stats) -> None:
    """Put the new manifest in the place of the one in use; durable on return."""
    fs.rename(f"{directory}/{NAME}.new", f"{directory}/{NAME}")
    fs.sync_directory(directory)
    stats.syncs += 1


def load(directory: str, fs: FileSystem) -> Listing | None:
    """Return the manifest of a directory, None when it has none.

    Raises:
        StoreDamaged: The CRC does not match.
        StoreTooNew: A later build wrote it.
        OSError: It cannot be read.
    """
    try:
        file = fs.open(f"{directory}/{NAME}", write=False)
    except FileNotFoundError:
        return None
    try:
        return parse(file.read(file.size(), 0), f"{directory}/{NAME}")
    finally:
        file.close()
