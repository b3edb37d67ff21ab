"""Stores by URL.

etcd://HOST:PORT[,HOST:PORT]    a server of the etcd API (also http:// and https://)
file://DIR                      a directory of this machine; if a server holds it, the server is called instead
tikv://PD[,PD]/PREFIX           a store over TiKV
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from brainctl.clock import Clock
from brainctl.errors import ConnectionFailed, InvalidInput, StoreInUse
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.store import Store
from brainctl.stores.urls import canonical

if TYPE_CHECKING:
    from brainctl.stores.unfinished import Admission


async def open_store(
    url: str,
    target: EtcdTarget,
    clock: Clock | None = None,
    *,
    create: bool = False,
    admission: "Admission | None" = None,
) -> Store:
    """Open the store at `url`.

    Args:
        url: The store; "" for the endpoints of `target`.
        target: How to reach a server.
        clock: The time of a store that is opened in this process: while it stands still, no lease expires.
        create: Create the store if there is none. Otherwise a mistyped name is noticed by reads and writes alike.
        admission: With it, a copy that a migration has not finished is only read, or refused.

    Raises:
        InvalidInput: The URL has no known form, or there is no store.
        BrainctlError: Opening the store failed.
    """
    scheme, separator, rest = canonical(url).partition("://")
    if not url:
        return _etcd(target)
    if scheme in ("etcd", "http", "https", "unix", "unixs") and separator:
        prefix = "" if scheme == "etcd" else f"{scheme}://"
        return _etcd(replace(target, endpoints=tuple(prefix + part for part in rest.split(",") if part.strip("/ "))))
    if scheme == "file" and rest:
        return _directory(Path(unquote(rest)), target, clock, create=create, admission=admission)
    if scheme == "tikv" and rest:
        from brainctl.stores.tikv import open_tikv  # noqa: PLC0415 - loads the TiKV client

        return await open_tikv(url, clock=clock, create=create, admission=admission)
    raise InvalidInput(f"{url!r} is no store: etcd://HOST:PORT, file://DIR and tikv://PD/PREFIX are known")


def _etcd(target: EtcdTarget) -> Store:
    """Return the client of a server; it connects when it is first used.

    Raises:
        ConnectionFailed: The target has no endpoint.
    """
    from brainctl.stores.etcd.store import EtcdStore  # noqa: PLC0415 - loads gRPC

    if not target.endpoints:
        raise ConnectionFailed("etcdclient: no available endpoints")
    return EtcdStore(target)


def _directory(
    directory: Path, target: EtcdTarget, clock: Clock | None, *, create: bool, admission: "Admission | None"
) -> Store:
    """Open a directory in this process, or return a client of the server that holds it.

    Raises:
        StoreInUse: A process holds it that serves no endpoint.
        InvalidInput: There is no store, and `create` is not set.
        BrainctlError: Opening the store failed.
    """
    from brainctl.engine.recovery import store_directory  # noqa: PLC0415 - the engine, only for those who open one
    from brainctl.engine.vfs.directory_lock import holder  # noqa: PLC0415
    from brainctl.engine.vfs.filesystem import OsFileSystem  # noqa: PLC0415
    from brainctl.stores.in_process import open_directory  # noqa: PLC0415

    if not create:
        store_directory.must_be_store(directory)
    try:
        return open_directory(directory, clock, admission)
    except StoreInUse:
        other = holder(str(directory), OsFileSystem())
        if other is None or not other.endpoint:
            raise
        return _etcd(replace(target, endpoints=(other.endpoint,)))
