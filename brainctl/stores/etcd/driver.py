"""etcd://HOST:PORT[,HOST:PORT] as a kind of store (`stores/driver.py`): a server of the etcd API."""

from dataclasses import replace

from brainctl.errors import ConnectionFailed
from brainctl.stores import descriptors
from brainctl.stores.driver import Opening
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.urls import StoreUrl


async def open_store(url: StoreUrl, opening: Opening) -> EtcdStore:
    """Return the client of the servers that a URL names; see `client`."""
    return client(replace(opening.target(), endpoints=url.endpoints))


def client(target: EtcdTarget) -> EtcdStore:
    """Return the client of a server; it connects when it is first used.

    Raises:
        ConnectionFailed: The target has no endpoint.
        OSError: There are too few file descriptors.
    """
    if not target.endpoints:
        raise ConnectionFailed("etcdclient: no available endpoints")
    descriptors.require()
    return EtcdStore(target)
