"""Targets of migrations by URL: the stores that keep the revisions of another store unchanged."""

from pathlib import Path
from urllib.parse import unquote

from brainctl.errors import InvalidInput, Unsupported
from brainctl.stores.store import ReplicaTarget


async def open_replica(url: str) -> ReplicaTarget:
    """Open the target at file://DIR or tikv://PD[,PD]/PREFIX.

    Raises:
        Unsupported: It is a plain etcd, which gives every write a revision of its own.
        InvalidInput: It is no store.
        BrainctlError: Opening the store failed.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "file" and rest:
        from brainctl.stores.replica_local import LocalReplica  # noqa: PLC0415 - loads the engine

        return LocalReplica.open(Path(unquote(rest)))
    if scheme == "tikv" and rest:
        from brainctl.stores.tikv import open_tikv_replica  # noqa: PLC0415 - loads the TiKV client

        return await open_tikv_replica(url)
    if scheme in ("etcd", "http", "https") and separator:
        raise Unsupported("an etcd cannot be a target: it would not keep revisions; file:// and tikv:// can")
    raise InvalidInput(f"{url!r} is no target: file://DIR and tikv://PD/PREFIX are")
