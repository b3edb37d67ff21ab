"""Sources of migrations by URL: a store of the etcd API, or what a module of its own reads."""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from brainctl.clock import Clock
from brainctl.errors import Unsupported
from brainctl.migrate.etcd_source.source import StoreSource
from brainctl.migrate.source import Source
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import open_store
from brainctl.stores.schemes import Can
from brainctl.stores.unfinished import Admission
from brainctl.stores.urls import StoreUrl, having


class SourceDriver(Protocol):
    """The function that the driver of a scheme has which can be copied (`Can.SOURCE`), and not opened."""

    async def open_source(self, url: StoreUrl) -> Source:
        """Open a source; raise BrainctlError when that fails."""


async def open_source(
    url: str,
    etcd: EtcdTarget | Callable[[], EtcdTarget],
    clock: Clock,
    still: Clock,
    admission: Admission,
) -> Source:
    """Open the source of a migration.

    Args:
        url: The source.
        etcd: How to reach a server.
        clock: The clock of the migration.
        still: The clock of a store that is opened in this process: while it stands still, no lease expires.
        admission: What to do with an unfinished copy.

    Raises:
        InvalidInput: It is no source, or there is nothing.
        BrainctlError: Opening it failed.
    """
    found = having(Can.SOURCE, url, Unsupported)
    if found.can(Can.OPEN):
        return StoreSource(await open_store(url, etcd, still, admission=admission), clock)
    driver: SourceDriver = import_module(found.scheme.driver)
    return await driver.open_source(found)
