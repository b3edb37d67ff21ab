"""A FUSE file system of a few files in one directory, spoken over /dev/fuse without a library.

What a loop device needs of the file behind it, and no more: look up, read, write, fsync. The byte layouts are those of
the kernel's include/uapi/linux/fuse.h, protocol 7.31. Requests are served one at a time, in the order in which the
kernel hands them out.
"""

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from struct import Struct
from typing import Protocol

from tests.faults.power import kernel

MAX_WRITE = 1 << 20
_IN = Struct("<IIQQIIII")
"""length, opcode, unique, node, and who asks."""
_OUT = Struct("<IiQ")
"""length, error, unique."""
_ATTRIBUTES = Struct("<6Q10I")
_INIT = Struct("<IIIIHHIIHHI28x")
_IO = Struct("<QQI")
"""The beginning of read and write requests: handle, offset, size."""
LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE = 1, 2, 3, 4, 14, 15, 16, 17, 18
FSYNC, INIT, INTERRUPT, BATCH_FORGET = 20, 26, 36, 42
DIRECT_IO = 1
"""The kernel keeps nothing of the file: each write arrives when it is made."""
BIG_WRITES, MAX_PAGES = 1 << 5, 1 << 22
_ROOT = 1
_VALID_SECONDS = 3600


class Served(Protocol):
    """A file of the file system."""

    def size(self) -> int:
        """Its length in bytes."""

    def read(self, length: int, offset: int) -> bytes:
        """Bytes of it; OSError."""

    def write(self, data: bytes, offset: int) -> None:
        """Take bytes; OSError."""

    def sync(self) -> None:
        """Make them durable; OSError."""


class Fuse:
    """A mounted file system; `serve` answers until it is unmounted."""

    def __init__(self, directory: str, files: Mapping[str, Served]) -> None:
        self._names = {name.encode(): number for number, name in enumerate(files, _ROOT + 1)}
        self._files = dict(enumerate(files.values(), _ROOT + 1))
        self.descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.descriptor},rootmode=40000,user_id=0,group_id=0,max_read={MAX_WRITE}"
        kernel.mount("faults", directory, "fuse", options)
        self._buffer = bytearray(MAX_WRITE + 65536)
        self._view = memoryview(self._buffer)

    def serve(self) -> None:
        """Answer the kernel until the file system is unmounted."""
        while True:
            try:
                length = os.readv(self.descriptor, [self._buffer])
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):  # the request was called off
                    continue
                raise
            self._answer(length)

    def _answer(self, length: int) -> None:
        _, opcode, unique, node, *_ = _IN.unpack_from(self._buffer)
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        try:
            body, code = self._do(opcode, node, self._view[_IN.size : length]), 0
        except OSError as error:
            body, code = b"", -(error.errno or errno.EIO)
        with suppress(FileNotFoundError):  # who asked has been interrupted
            os.write(self.descriptor, _OUT.pack(_OUT.size + len(body), code, unique) + body)

    def _do(self, opcode: int, node: int, body: memoryview) -> bytes:  # noqa: C901, PLR0911 - one per request
        match opcode:
            case 26:  # INIT
                return _INIT.pack(7, 31, MAX_WRITE, BIG_WRITES | MAX_PAGES, 64, 48, MAX_WRITE, 1, 256, 0, 0)
            case 1:  # LOOKUP
                found = self._names.get(bytes(body).rstrip(b"\0"))
                if found is None:
                    raise FileNotFoundError(errno.ENOENT, "no such file")
                return Struct("<QQQQII").pack(found, 0, _VALID_SECONDS, _VALID_SECONDS, 0, 0) + self._attributes(found)
            case 3 | 4:  # GETATTR, SETATTR
                return Struct("<QII").pack(_VALID_SECONDS, 0, 0) + self._attributes(node)
            case 14:  # OPEN
                return Struct("<QII").pack(0, DIRECT_IO, 0)
            case 15:  # READ
                _, offset, size = _IO.unpack_from(body)
                return self._files[node].read(size, offset)
            case 16:  # WRITE
                _, offset, size = _IO.unpack_from(body)
                self._files[node].write(bytes(body[40 : 40 + size]), offset)
                return Struct("<II").pack(size, 0)
            case 20:  # FSYNC
                self._files[node].sync()
                return b""
            case 17:  # STATFS
                return Struct("<5Q4I24x").pack(1 << 20, 0, 0, 16, 0, 4096, 255, 4096, 0)
            case 18:  # RELEASE
                return b""
        raise OSError(errno.ENOSYS, "not served")

    def _attributes(self, node: int) -> bytes:
        size = 0 if node == _ROOT else self._files[node].size()
        mode = stat.S_IFDIR | 0o700 if node == _ROOT else stat.S_IFREG | 0o600
        return _ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
