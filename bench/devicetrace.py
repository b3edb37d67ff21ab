"""What a file system writes of its own: journal, inodes, bitmaps. From the kernel's block trace; needs root."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.loopdevice import SECTOR

_BUFFER_KB = 32 << 10
_LINE = re.compile(r"block_bio_queue: \d+,\d+ (\S+) \d+ \+ (\d+) ")


@contextmanager
def metadata_bytes(work: Path, device: str) -> Iterator[Callable[[], int | None]]:
    """Have the kernel note the requests to a device; the result counts the bytes that were marked as metadata.

    It is None where the kernel cannot do that, or has lost notes.
    """
    with ExitStack() as stack:
        try:
            trace = _instance(stack, work, device)
        except (OSError, subprocess.CalledProcessError):
            yield lambda: None
        else:
            yield lambda: _count(trace)


def _instance(stack: ExitStack, work: Path, device: str) -> Path:
    mounted = work / "tracing"
    mounted.mkdir()
    stack.callback(mounted.rmdir)
    subprocess.run(["mount", "-t", "tracefs", "none", str(mounted)], check=True, capture_output=True)
    stack.callback(subprocess.run, ["umount", str(mounted)], check=True)
    trace = mounted / "instances" / f"device-{os.getpid()}"
    trace.mkdir()
    stack.callback(trace.rmdir)
    major, minor = Path("/sys/block", device, "dev").read_text().split(":")
    event = trace / "events" / "block" / "block_bio_queue"
    (trace / "buffer_size_kb").write_text(str(_BUFFER_KB))
    (event / "filter").write_text(f"dev == {int(major) << 20 | int(minor)}")
    (event / "enable").write_text("1")
    stack.callback((event / "enable").write_text, "0")
    return trace


def _count(trace: Path) -> int | None:
    """Bytes of requests with the flag M, and forget all."""
    total = 0
    with (trace / "trace").open() as lines:
        for line in lines:
            if "LOST" in line:
                return None
            found = _LINE.search(line)
            if found and "M" in found[1]:
                total += int(found[2]) * SECTOR
    for cpu in (trace / "per_cpu").iterdir():
        if _overrun(cpu):
            return None
    (trace / "trace").write_text("")
    return total


def _overrun(cpu: Path) -> bool:
    found = re.search(r"^overrun: (\d+)", (cpu / "stats").read_text(), re.MULTILINE)
    return found is not None and int(found[1]) > 0
