"""Stores by URL: finds the scheme of a URL (`schemes.py`), and lets its driver (`driver.py`) open the store.

Example: `store = await open_store("file:///var/lib/brainctl")`, then `await store.range(RangeRequest(key=b"a"))` and
`await store.close()`.
"""

from collections.abc import Callable
from importlib import import_module

from brainctl.clock import Clock
from brainctl.errors import Unsupported
from brainctl.stores import descriptors
from brainctl.stores.driver import Driver, Opening, Served, Serving
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.schemes import Can, Scheme
from brainctl.stores.store import ReplicaTarget, Store
from brainctl.stores.unfinished import CAUTIOUS, Admission
from brainctl.stores.urls import having


def driver_of(scheme: Scheme) -> Driver:
    """Load the functions of a kind of store.

    Raises:
        OSError: There are too few file descriptors for a client of it.
    """
    if not scheme.is_path:
        descriptors.require()
    driver: Driver = import_module(scheme.driver)
    return driver


async def open_store(
    url: str,
    target: EtcdTarget | Callable[[], EtcdTarget] = EtcdTarget(()),  # noqa: B008 - immutable
    clock: Clock | None = None,
    *,
    create: bool = False,
    admission: Admission = CAUTIOUS,
) -> Store:
    """Open the store at `url`.

    Args:
        url: The store; "" for the endpoints of `target`.
        target: How to reach a server, or what returns that when a server is to be reached.
        clock: The time of a store that is opened in this process: while it stands still, no lease expires.
        create: Create the store if there is none. Otherwise a mistyped name is noticed by reads and writes alike.
        admission: What to do with a copy that a migration has not finished; it is read with a warning, not written.

    Raises:
        InvalidInput: The URL has no known form, or there is no store.
        BrainctlError: Opening the store failed.
    """

    def reach() -> EtcdTarget:
        return target if isinstance(target, EtcdTarget) else target()

    if not url:
        from brainctl.stores.etcd.driver import client  # noqa: PLC0415 - loads gRPC

        return client(reach())
    found = having(Can.OPEN, url)
    return await driver_of(found.scheme).open_store(found, Opening(reach, clock, create, admission))


async def create_store(url: str) -> None:
    """Create an empty store at `url`, durably.

    Raises:
        NotEmpty: There is a store already.
        InvalidInput: The directory holds something else, or stores of this kind cannot be made.
        BrainctlError: Opening the store failed.
    """
    found = having(Can.CREATE, url)
    await driver_of(found.scheme).create_store(found)


async def open_backend(url: str, serving: Serving) -> Served:
    """Open what keeps the data of a server.

    Raises:
        InvalidInput: Stores of this kind cannot be served.
        BrainctlError: Opening the store failed.
    """
    found = having(Can.SERVE, url)
    return await driver_of(found.scheme).open_backend(found, serving)


async def open_replica(url: str) -> ReplicaTarget:
    """Open the target of a migration; it is created if there is none.

    Raises:
        InvalidInput: It is no store.
        Unsupported: Its kind does not keep the revisions of another store, as a plain etcd does not.
        BrainctlError: Opening the store failed.
    """
    found = having(Can.TARGET, url, Unsupported)
    return await driver_of(found.scheme).open_target(found)
