"""The sides of a comparison by their URLs: stores, and files that hold what a store held."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from brainctl.clock import ManualClock
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import open_store
from brainctl.stores.unfinished import Admission
from brainctl.stores.urls import parse
from brainctl.verify.files import is_copy, open_copy
from brainctl.verify.reading import StoreReader
from brainctl.verify.scope import Scope
from brainctl.verify.side import Side


async def open_side(
    url: str,
    etcd: EtcdTarget | Callable[[], EtcdTarget],
    scope: Scope,
    stack: AsyncExitStack,
    admission: Admission,
) -> Side:
    """Open one side.

    Args:
        url: A store; or the URL of a path with a snapshot or a data directory of etcd, a backup, or a list of keys.
        etcd: How to reach a server, or what returns that when it is needed.
        scope: What is compared.
        stack: Closes what was opened.
        admission: What to do with a copy that a migration has not finished.

    Raises:
        BrainctlError: It cannot be opened.
    """
    found = parse(url)
    if found.scheme.is_path and await asyncio.to_thread(is_copy, found.path):
        return await open_copy(found.path, scope, stack, admission)
    still = ManualClock()  # no lease runs out in a store that is only looked at
    store = await open_store(url, etcd, still, admission=admission)
    stack.push_async_callback(lambda: asyncio.shield(store.close()))
    return StoreReader(store, counts_fast=found.scheme.counts_fast)
