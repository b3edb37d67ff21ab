"""Read from the kernel which disk is under a directory, and its queue: /proc/self/mountinfo and /sys/block."""

import os
from pathlib import Path
from typing import NamedTuple

_QUEUE = (
    "rotational",
    "scheduler",
    "write_cache",
    "fua",
    "discard_granularity",
    "discard_max_bytes",
    "logical_block_size",
    "physical_block_size",
    "optimal_io_size",
    "nr_requests",
)
"""The files of /sys/block/NAME/queue that are shown."""
MEMORY = frozenset(("tmpfs", "ramfs", "hugetlbfs"))
"""File systems that lose everything when the machine stops."""


class Device(NamedTuple):
    """The disk under a directory."""

    file_system: str
    """The type of the file system, such as ext4; empty when it cannot be found."""
    mount_point: str
    mount_options: str
    """The options of the mount and of the file system, separated by commas."""
    block: str
    """The name of the disk in /sys/block, such as nvme0n1; empty when the file system has no disk of its own."""
    model: str
    queue: dict[str, str]
    """The contents of /sys/block/NAME/queue, by file."""
    written: int | None = None
    """Bytes written to the disk since the machine started; None when the kernel does not report it."""

    @property
    def is_memory(self) -> bool:
        """Return whether nothing here survives a restart of the machine."""
        return self.file_system in MEMORY or self.block.startswith(("ram", "zram"))

    @property
    def discards(self) -> bool:
        """Return whether the disk accepts TRIM, the list of blocks that are free."""
        return self.queue.get("discard_max_bytes", "0") != "0"

    def remarks(self) -> list[str]:
        """Return sentences on what an operator should know about it."""
        found = []
        options = set(self.mount_options.split(","))
        if self.is_memory:
            found.append(f"{self.file_system or self.block} is memory: nothing here survives a restart of the machine")
        if self.queue.get("rotational") == "1":
            found.append("the kernel takes it for a rotating disk (a virtual disk often says so wrongly)")
        if self.queue.get("write_cache") == "write back":
            found.append(
                "it has a volatile write cache: durability rests on its honouring flushes, which each sync sends"
            )
        if self.queue.get("write_cache") == "write through":
            found.append("it says that it has no volatile write cache: a sync need not flush it")
        if "nobarrier" in options or "barrier=0" in options:
            found.append(
                "it is mounted without barriers: a sync does not flush the write cache, and power loss loses data"
            )
        if "data=journal" in options:
            found.append("it is mounted with data=journal: every byte is written twice")
        if "discard" in options:
            found.append(
                "it is mounted with discard: each removal of a file sends TRIM at once; fstrim.timer is gentler"
            )
        elif self.block and self.discards:
            found.append(
                "it takes TRIM: run fstrim now and then, so that space given back is free for the disk as well"
            )
        elif self.block:
            found.append("it takes no TRIM: space given back stays used for the disk")
        return found


def look(directory: Path, sysfs: Path = Path("/sys"), mounts: Path = Path("/proc/self/mountinfo")) -> Device:
    """Find the disk under an existing directory; fields that cannot be found are empty.

    Raises:
        OSError: The directory cannot be read.
    """
    status = directory.stat()
    number = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    file_system, mount_point, options = _mount(directory.resolve(), number, mounts)
    disk = _disk(sysfs / "dev" / "block" / number)
    if disk is None:
        return Device(file_system, mount_point, options, "", "", {})
    queue = {name: _chosen(_read(disk / "queue" / name)) for name in _QUEUE if (disk / "queue" / name).exists()}
    counts = _read(disk / "stat").split()
    written = int(counts[6]) * 512 if len(counts) > 6 else None
    return Device(file_system, mount_point, options, disk.name, _read(disk / "device" / "model"), queue, written)


def _mount(directory: Path, number: str, mounts: Path) -> tuple[str, str, str]:
    """Return file system, mount point and options of the mount with this device number that is nearest above
    `directory`.
    """
    best = ("", "", "")
    for line in _read(mounts).splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 6 or len(rest) < 3 or fields[2] != number:
            continue
        point = fields[4].encode().decode("unicode_escape")
        if directory.is_relative_to(point) and len(point) >= len(best[1]):
            best = (rest[0], point, ",".join(dict.fromkeys([*fields[5].split(","), *rest[2].split(",")])))
    return best


def _disk(link: Path) -> Path | None:
    """Return the directory of a disk, from that of the disk or of one of its partitions; None when there is none."""
    if not link.exists():
        return None
    found = link.resolve()
    return found.parent if (found / "partition").exists() else found


def _read(path: Path) -> str:
    """Return the content of a small file; "" when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _chosen(text: str) -> str:
    """Return the value in brackets, as in "none [mq-deadline]"; the whole text when there are none."""
    return text.partition("[")[2].partition("]")[0] or text
