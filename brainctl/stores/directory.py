"""file://DIR as a kind of store (`stores/driver.py`): a directory of this machine."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from brainctl.engine.engine import Engine
from brainctl.engine.log import manifest
from brainctl.engine.recovery import store_directory
from brainctl.engine.vfs.directory_lock import holder
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.errors import BrainctlError, NotEmpty, StoreInUse
from brainctl.mvcc.record_names import CHECKPOINT
from brainctl.node.local.backend import open_local
from brainctl.stores.driver import OTHER_PLACE, Opening, Served, Serving
from brainctl.stores.in_process import open_directory
from brainctl.stores.replica_local import LocalReplica
from brainctl.stores.store import Store
from brainctl.stores.urls import StoreUrl


async def open_store(url: StoreUrl, opening: Opening) -> Store:
    """Open a directory in this process, or return a client of the server that holds it.

    Raises:
        StoreInUse: A process holds it that serves no endpoint.
        InvalidInput: There is no store, and it is not to be created.
        BrainctlError: Opening the store failed.
    """
    directory = url.path
    if not opening.create:
        store_directory.must_be_store(directory)
    try:
        return open_directory(directory, opening.clock, opening.admission)
    except StoreInUse:
        other = holder(str(directory), OsFileSystem())
        if other is None or not other.endpoint:
            raise
        from brainctl.stores.etcd.driver import client  # noqa: PLC0415 - loads gRPC

        return client(replace(opening.target(), endpoints=(other.endpoint,)))


async def create_store(url: StoreUrl) -> None:
    """Create an empty store in a directory, durably.

    Raises:
        NotEmpty: There is a store already.
        InvalidInput: The directory holds something else.
    """
    if (url.path / manifest.NAME).exists():
        raise NotEmpty(f"there is a store in {url.path} already").advised(OTHER_PLACE)
    Engine.open(url.path).close()


async def open_backend(url: StoreUrl, serving: Serving) -> Served:
    """Open or create the store in a directory for a server, which locks it.

    Raises:
        StoreInUse: Another process holds it.
        Unfinished: It is a copy that a migration has not finished.
        BrainctlError: Opening the store failed.
    """
    directory = str(url.path)
    engine = Engine.open(directory)
    try:
        serving.admission.to_serve(engine.record(CHECKPOINT), url.text)
    except BrainctlError:
        engine.close()
        raise
    if beside := store_directory.other_tenant(os.listdir(directory)):  # noqa: PTH208 - the engine takes strings
        serving.warn(f"warning: {directory} is served as the store of brainctl that it is, but {beside}")
    backend = open_local(engine, asyncio.get_running_loop(), serving.reclaim_rate)

    def on_failure(action: Callable[[BrainctlError], None]) -> None:
        backend.commits.on_failure = action

    def announce(endpoint: str, client_urls: Sequence[str]) -> None:
        del client_urls
        engine.announce(endpoint)

    return Served(backend, url.text, announce, on_failure)


async def open_target(url: StoreUrl) -> LocalReplica:
    """Open or create the directory as the target of a migration, which locks it.

    Raises:
        StoreInUse: Another process holds it.
    """
    return LocalReplica.open(url.path)
