"""A disk that fails under a server, with what the kernel makes of it: brainctl and etcd side by side.

The server's directory is on ext4 on a loop device on a file of our own FUSE file system, which answers EIO when told
to. What the server is told is what the kernel makes of that: a write that fails is an error of the next fdatasync, its
pages are clean from then on, and a second fdatasync finds nothing to do.
"""

import argparse
import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from brainctl.etcdpb import rpc_pb2 as pb
from tests.faults.power import kernel
from tests.faults.power.fuse import Fuse
from tests.peers.servers import Brainctl, Etcd, Server
from tests.support.rpc import Refused, Remote

IMAGE_BYTES = 300 << 20
WRITERS = 4
BEFORE = 200
"""At most so many puts are acknowledged before the disk fails."""
STOP_SECONDS = {"brainctl": 120.0, "etcd": 10.0}
"""How long a server is given to stop: etcd goes on after some failures, and is given up sooner."""
FAULTS = {
    "one write": "one write of the device fails",
    "one flush": "one flush of the device fails",
    "all writes": "every write of the device fails from now on",
    "full": "the file system is full",
}


class FaultyDisk:
    """A block image in a file, which fails as the file `plan` beside it says, and notes in `tripped` when it did."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR)
        self._plan = path.with_name("plan")
        self._tripped = path.with_name("tripped")

    def size(self) -> int:
        return IMAGE_BYTES

    def read(self, length: int, offset: int) -> bytes:
        return os.pread(self._file, length, offset)

    def write(self, data: bytes, offset: int) -> None:
        self._check("write")
        os.pwrite(self._file, data, offset)

    def sync(self) -> None:
        self._check("flush")

    def _check(self, kind: str) -> None:
        if not self._plan.exists():
            return
        number, what = self._plan.read_text().split()
        if not what.startswith(kind):
            return
        if not self._tripped.exists():
            self._tripped.write_text(str(time.monotonic()))
        if number == "one":
            self._plan.unlink()
        raise OSError(errno.EIO, "planned")


@dataclass
class Outcome:
    """What a server did."""

    acknowledged: int = 0
    late: int = 0
    """Acknowledgements of puts that were sent after the disk had failed, or was full."""
    stopped: float | None = None
    """Seconds from the failure to the end of the process; None when it went on."""
    code: int | None = None
    missing: list[str] = field(default_factory=list)
    """Keys that were acknowledged and are not there after a restart, with the page cache dropped."""
    restarted: bool = False
    said: str = ""


@contextmanager
def failing_disk(directory: Path) -> Iterator[tuple[Path, Path]]:
    """A block image that can fail: the file to mount, and the file that takes plans such as "one write"."""
    image, served = directory / "image", directory / "served"
    image.touch()
    os.truncate(image, IMAGE_BYTES)
    ready = "lazy_itable_init=0,lazy_journal_init=0"
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-J", "size=4", "-E", ready, str(image)], check=True)
    served.mkdir()
    fuse = Fuse(str(served), {"disk": FaultyDisk(image)})
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            fuse.serve()
        os._exit(0)
    os.close(fuse.descriptor)
    try:
        yield served / "disk", directory / "plan"
    finally:
        kernel.unmount(str(served), lazily=True)
        os.waitpid(child, 0)


class Load:
    """Puts of several writers, each key once, until the server is gone or the time is over."""

    def __init__(self, endpoint: str, value_bytes: int) -> None:
        self._api = Remote(endpoint)
        self._value = b"x" * value_bytes
        self.acknowledged: dict[str, tuple[float, float]] = {}
        """By key: when it was sent and when it was answered."""
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(writer,)) for writer in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self, writer: int) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            key, sent = f"{writer}/{number:06}", time.monotonic()
            try:
                self._api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=key.encode(), value=self._value))
            except Refused:
                self._over.wait(0.01)
            else:
                self.acknowledged[key] = (sent, time.monotonic())

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._api.close()


def server_of(name: str, directory: Path, mounted: Path) -> Server:
    if name == "etcd":
        return Etcd(directory, fsync=True, data_dir=mounted / "etcd")
    return Brainctl(directory, store=f"file://{mounted / 'store'}")


def fail(name: str, fault: str, directory: Path, wait_for: int) -> Outcome:
    """Run a server on a disk, have the disk fail under load, and look at what is left after a restart."""
    outcome, mounted, tripped = Outcome(), directory / "mounted", directory / "tripped"
    mounted.mkdir()
    with failing_disk(directory) as (disk, plan):
        with kernel.mounted_image(str(disk), str(mounted)):
            server = server_of(name, directory / "log", mounted)
            with server:
                load = Load(server.endpoint, 100_000 if fault == "full" else 200)
                while len(load.acknowledged) < wait_for:
                    time.sleep(0.001)
                if fault == "full":
                    fill(mounted / "filler")
                    tripped.write_text(str(time.monotonic()))
                else:
                    plan.write_text(fault)
                observe(server, load, tripped, outcome)
            plan.unlink(missing_ok=True)
            if fault == "full":
                (mounted / "filler").unlink()
        kernel.drop_caches()
        with kernel.mounted_image(str(disk), str(mounted)):
            look_again(server_of(name, directory / "again", mounted), load, outcome)
    return outcome


def fill(path: Path) -> None:
    """Leave no room on a file system."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def observe(server: Server, load: Load, tripped: Path, outcome: Outcome) -> None:
    """Wait until the server has stopped, or has had the time to."""
    assert server.child is not None
    with suppress(subprocess.TimeoutExpired):
        outcome.code = server.child.process.wait(STOP_SECONDS[server.name])
    ended = time.monotonic()
    load.stop()
    assert tripped.exists(), "the disk has not failed"
    failed = float(tripped.read_text())
    if outcome.code is not None:
        outcome.stopped = ended - failed
    outcome.acknowledged = len(load.acknowledged)
    outcome.late = sum(sent > failed for sent, _ in load.acknowledged.values())
    outcome.said = next((line for line in reversed(server.child.output().splitlines()) if line.strip()), "")


def look_again(server: Server, load: Load, outcome: Outcome) -> None:
    """Which acknowledged keys are there after a restart."""
    try:
        server.start()
    except AssertionError:
        outcome.missing = sorted(load.acknowledged)
        return
    outcome.restarted = True
    api = Remote(server.endpoint)
    answer = api.call("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"\0", range_end=b"\0", keys_only=True))
    api.close()
    server.stop()
    found = {kv.key.decode() for kv in answer.kvs}
    outcome.missing = sorted(set(load.acknowledged) - found)


def second_sync(directory: Path) -> list[str]:
    """What the kernel says of a failed fdatasync: what that one and the next one answer, what the file reads as then,
    and what is on the disk.
    """
    mounted = directory / "mounted"
    mounted.mkdir()
    with failing_disk(directory) as (disk, plan):
        with kernel.mounted_image(str(disk), str(mounted)):
            file = os.open(mounted / "file", os.O_RDWR | os.O_CREAT)
            os.pwrite(file, b"A" * 4096, 0)
            os.fdatasync(file)
            os.pwrite(file, b"B" * 4096, 0)
            plan.write_text("one write")
            said = [sync(file), sync(file), os.pread(file, 4, 0).decode()]
            os.close(file)
        kernel.drop_caches()
        with kernel.mounted_image(str(disk), str(mounted)):
            said.append((mounted / "file").read_text()[:4])
    return said


def sync(file: int) -> str:
    try:
        os.fdatasync(file)
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "OK"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=["brainctl", "etcd", "kernel"])
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("--seed", type=int, default=1)
    arguments: Any = parser.parse_args()
    kernel.own_mounts()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        kernel.mount("images", name, "tmpfs", "size=1g")
        if arguments.server == "kernel":
            found: Any = second_sync(Path(name))
        else:
            before = Random(arguments.seed).randrange(1, BEFORE)
            found = asdict(fail(arguments.server, arguments.fault, Path(name), before))
        kernel.unmount(name, lazily=True)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
