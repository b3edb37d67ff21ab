"""Mounts, namespaces and loop devices, for which Python has no call. All of it needs root."""

import ctypes
import errno
import fcntl
import gc
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers import ROOT
from tests.peers.servers import clean_environment

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MNT_DETACH = 2
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_AUTOCLEAR = 4
_LOOP_CONFIG = struct.Struct("<II52xI240x")
"""Descriptor of the file, block size, flags; the rest of struct loop_config is zeros."""
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def missing() -> str | None:
    """Why block images cannot be made here; None when they can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(path, os.R_OK | os.W_OK):
            return f"there is no {path}"
    argv = [sys.executable, "-c", "from tests.faults.power import kernel; kernel.own_mounts()"]
    tried = subprocess.run(argv, cwd=ROOT, capture_output=True, env=clean_environment(), check=False)
    return "mounting is not allowed" if tried.returncode else None


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def own_mounts() -> None:
    """Give this process a mount namespace: what it mounts is seen by it and its children, and goes with them."""
    _call("unshare", _CLONE_NEWNS)
    _call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)


def mount(source: str, target: str, kind: str, options: str = "") -> None:
    """mount(2); OSError."""
    _call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(0), options.encode())


def unmount(target: str, *, lazily: bool = False) -> None:
    """umount(2); OSError."""
    _call("umount2", target.encode(), _MNT_DETACH if lazily else 0)


@contextmanager
def mounted_image(image: str, target: str, options: str = "") -> Iterator[None]:
    """The ext4 file system in a file, on a loop device of its own; OSError when it cannot be mounted."""
    with open(image, "r+b") as file:  # noqa: PTH123
        device = _attach(file.fileno())
    try:
        name = str(Path(f"/proc/self/fd/{device}").readlink())
        mount(name, target, "ext4", options)
    finally:
        os.close(device)  # a device that nobody has open or mounted lets go of its file
    try:
        yield
    finally:
        gc.collect()  # lets go of maps
        try:
            unmount(target)
        except OSError:  # the error that is on its way holds some
            unmount(target, lazily=True)


def _attach(file: int) -> int:
    """A loop device over a file, as a descriptor."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(1000):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, _LOOP_CONFIG.pack(file, 0, _AUTOCLEAR))
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # another process was quicker
                    raise
            else:
                return device
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no loop device is free")


def drop_caches() -> None:
    """Forget every page that the kernel holds and need not write."""
    _DROP_CACHES.write_text("3\n")
