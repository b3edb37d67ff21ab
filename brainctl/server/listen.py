"""Where a server listens: ports and Unix sockets."""

import asyncio
import errno
import os
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from brainctl.errors import InvalidInput, ListenFailed, next_step

_BACKLOG: Final = 1024
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - compared only
_NO_IPV6: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENOPROTOOPT)
"""Errors of a kernel that was built without IPv6, or has it turned off."""
_ADDRESS: Final = re.compile(r"(?:https?://)?(?P<host>[^/:@\[\]]*|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})/?")
_UNIX: Final = re.compile(r"(?P<scheme>unixs?://)(?P<path>.+)")


class Listener:
    """One address that connections come to."""

    def __init__(self, server: asyncio.Server, address: str, path: Path | None = None) -> None:
        self._server = server
        self.address = address
        """Address as clients name it: HOST:PORT, or the URL of a Unix socket."""
        self._path = path

    def close(self) -> None:
        """Take no more connections; the socket's file goes too."""
        self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


async def listen(given: str, made: Callable[[], asyncio.Protocol]) -> Listener:
    """Listen at "HOST:PORT", at a URL of that, or at "unix://PATH"; `made` makes the protocol of each connection.

    0.0.0.0 and [::] both take connections of IPv4 and of IPv6.

    Raises:
        InvalidInput: The address cannot be read.
        ListenFailed: It cannot be had.
    """
    loop = asyncio.get_running_loop()
    try:
        if match := _UNIX.fullmatch(given):
            path = Path(match["path"])
            _free(path)
            server = await loop.create_unix_server(made, str(path), backlog=_BACKLOG)
            return Listener(server, given, path)
        host, port = parse_address(given)
        both = both_families(port) if host in _ANY else None
        where: dict[str, Any] = {"sock": both} if both is not None else {"host": host, "port": port}
        server = await loop.create_server(made, backlog=_BACKLOG, **where)
    except OSError as error:
        raise ListenFailed(f"cannot listen at {given}: {_reason(error)}").advised(_step(error)) from error
    bound = server.sockets[0].getsockname()[1]
    return Listener(server, f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}")


def parse_address(given: str) -> tuple[str, int]:
    """Return host and port of "HOST:PORT", "[V6]:PORT", ":PORT" (every interface), or a URL of these.

    Raises:
        InvalidInput: It is none of them.
    """
    match = _ADDRESS.fullmatch(given)
    if match is None or int(match["port"]) > 65535:
        raise InvalidInput(f"not an address to listen at: {given!r}; HOST:PORT or unix://PATH is wanted")
    host = match["host"].strip("[]") or "0.0.0.0"  # noqa: S104 - ":PORT" asks for every interface
    return host, int(match["port"])


def both_families(port: int) -> socket.socket | None:
    """Return a socket bound at every address of IPv4 and IPv6, as Go makes it for 0.0.0.0 and for [::] alike.

    None on a system without IPv6.

    Raises:
        OSError: The port cannot be had.
    """
    try:
        bound = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("::", port))
    except OSError as error:
        bound.close()
        if error.errno in _NO_IPV6:
            return None
        raise
    return bound


def _free(path: Path) -> None:
    """Remove the socket of a server that is gone.

    Raises:
        OSError: A server listens there, or the file is no socket.
    """
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(17, "file exists, and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(98, "address already in use")


def _reason(error: OSError) -> str:
    if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):  # the event loop repeats the address, as a tuple
        return os.strerror(error.errno).lower()
    return (error.strerror or str(error)).lower()


def _step(error: OSError) -> str:
    """Return what an operator can do about an address that cannot be had."""
    if isinstance(error, socket.gaierror):
        return "check the name of the host: 0.0.0.0 means every address of this machine"
    if error.errno == errno.EACCES:
        return "choose a port above 1023, or a socket in a directory that this user may write in"
    return next_step(error)
