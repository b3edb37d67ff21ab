"""A block device for one measurement: a loop device with ext4, and what the kernel counts of it. Needs root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
"""The unit of /sys/block/DEVICE/stat, whatever the device's own sectors are."""


class Counted(NamedTuple):
    """What a device has done (Documentation/block/stat.rst of the kernel)."""

    written: int
    """Bytes."""
    writes: int
    """Requests, after merging."""
    flushes: int

    def since(self, before: "Counted") -> "Counted":
        """The difference."""
        return Counted(*(now - then for now, then in zip(self, before, strict=True)))


class LoopDevice(NamedTuple):
    """A mounted device."""

    name: str
    """Below /sys/block."""
    directory: Path
    """Where it is mounted."""

    def counted(self) -> Counted:
        """Its counters, now."""
        fields = [int(field) for field in Path("/sys/block", self.name, "stat").read_text().split()]
        return Counted(fields[6] * SECTOR, fields[4], fields[15])


def usable() -> bool:
    """Whether this process can have loop devices."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists()


@contextmanager
def loop_device(work: Path, size: int) -> Iterator[LoopDevice]:
    """A device of `size` bytes with a fresh ext4 of the default features, over a sparse file in `work`.

    Nothing is left of it afterwards, whatever happens inside.
    """
    image, directory = work / "image", work / "mount"
    with ExitStack() as stack:
        with image.open("wb") as file:
            stack.callback(image.unlink)
            file.truncate(size)
        device = _run("losetup", "--find", "--show", str(image))
        stack.callback(_run, "losetup", "--detach", device)
        # Without the lazy part of mkfs, which would go on writing during the measurement.
        _run("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", device)
        directory.mkdir()
        stack.callback(directory.rmdir)
        _run("mount", device, str(directory))
        stack.callback(_unmount, directory)
        yield LoopDevice(Path(device).name, directory)


def _unmount(directory: Path) -> None:
    """Also when something inside has failed, and still holds on to a file: then that has the last of it."""
    try:
        _run("umount", str(directory))
    except subprocess.CalledProcessError:
        _run("umount", "--lazy", str(directory))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
