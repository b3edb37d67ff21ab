"""tikv://PD[,PD...]/PREFIX as a kind of store (`stores/driver.py`): TiKV under a node of this process."""

from collections.abc import Callable

from brainctl.clock import Clock, ManualClock, SystemClock
from brainctl.errors import BrainctlError, InvalidInput, NotEmpty
from brainctl.mvcc.record_names import CHECKPOINT
from brainctl.node.node import Node
from brainctl.stores.driver import OTHER_PLACE, Opening, Served, Serving, Shared
from brainctl.stores.in_process import NodeStore
from brainctl.stores.replica_tikv import TikvReplica
from brainctl.stores.tikv_url import parse_tikv_url
from brainctl.stores.unfinished import COMMITTED, Admission, Standing, refusal
from brainctl.stores.urls import StoreUrl
from brainctl.tikv.backend import Registration, TikvBackend
from brainctl.tikv.backend import open_backend as open_tikv_data
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.replica import ReplicaWriter
from brainctl.tikv.succession import Role


async def open_store(url: StoreUrl, opening: Opening) -> NodeStore:
    """Open the store for clients; see `open_tikv`."""
    return await open_tikv(url.text, clock=opening.clock, create=opening.create, admission=opening.admission)


async def create_store(url: StoreUrl) -> None:
    """Create an empty store, durably, by taking its lead.

    Raises:
        NotEmpty: There is a store already.
        BrainctlError: As `open_tikv_backend`.
    """
    backend = await open_tikv_backend(url.text, Role.ON_DEMAND)
    try:
        if not backend.is_new:
            raise NotEmpty(f"there is a store at {url.text} already").advised(OTHER_PLACE)
        await backend.writer.acquire()
    finally:
        await backend.close()


async def open_backend(url: StoreUrl, serving: Serving) -> Served:
    """Open the store for a server; see `open_tikv_backend`."""
    backend = await open_tikv_backend(
        url.text,
        Role[serving.role.upper()],
        collects=serving.collects,
        admission=serving.admission,
        registration=Registration(serving.name, serving.peer_urls, round(serving.lease_seconds * 1000)),
    )
    assert backend.instances is not None
    shared = Shared(backend.instances, lambda: backend.leads, backend.follow, backend.secret, backend.now_seconds)

    def on_failure(action: Callable[[BrainctlError], None]) -> None:
        backend.on_failure = action

    return Served(backend, url.text, backend.announce, on_failure, shared)


async def open_target(url: StoreUrl) -> TikvReplica:
    """Open the store as the target of a migration; see `open_tikv_replica`."""
    return await open_tikv_replica(url.text)


async def open_tikv_backend(
    url: str,
    role: Role,
    *,
    collects: bool = False,
    admission: Admission | None = None,
    registration: Registration | None = None,
) -> TikvBackend:
    """Open the backend, for a server for example.

    Args:
        url: The store.
        role: When to take the lead.
        collects: Move TiKV's garbage collection on while the store is open.
        admission: With it, a copy that a migration has not finished, or still works on, is refused before anything is
            taken over.
        registration: For one of the servers of the store.

    Raises:
        InvalidInput: The URL has another form.
        TikvFailed: TiKV failed; ConnectionFailed when it cannot be reached.
        StoreDamaged: The store cannot be read.
        Unfinished: `admission` refuses the copy.
        StoreInUse: Another living server has the name of this one.
    """
    admit = None if admission is None else lambda backend: _admit(backend, url, admission)
    place = parse_tikv_url(url)
    return await open_tikv_data(
        place.client(), place.prefix, role, collects=collects, admit=admit, registration=registration
    )


async def _admit(backend: TikvBackend, url: str, admission: Admission) -> None:
    """Check that a copy is finished, and that no living migration has its lead.

    Raises:
        Unfinished: It is not finished, or still being written.
    """
    record = backend.record(CHECKPOINT)
    admission.to_serve(record, url)
    standing = Standing.of(record)
    if admission.allowed or (standing is not None and standing.phase == COMMITTED):
        return
    migration = await backend.living_holder("migrate")
    if migration is not None:
        raise refusal(url, f"{migration} is writing to it", "served")


async def open_tikv(
    url: str,
    role: Role = Role.ON_DEMAND,
    clock: Clock | None = None,
    *,
    create: bool = True,
    admission: Admission | None = None,
) -> NodeStore:
    """Open the store as commands use it: other processes may read and write it meanwhile.

    The first write takes the lead, which is refused (StoreInUse) while another process holds it. With `admission` an
    unfinished copy is not changed.

    Raises:
        InvalidInput: Nothing was ever written under the prefix, and `create` is not set; or the URL has another form.
        BrainctlError: As `open_tikv_backend`.
    """
    backend = await open_tikv_backend(url, role)
    if backend.is_new and not create:
        await backend.close()
        raise InvalidInput(f"there is no store at {url}: nothing was ever written there")
    try:
        refused = admission.to_read(backend.record(CHECKPOINT), url) if admission is not None else None
    except BrainctlError:
        await backend.close()
        raise
    return NodeStore(Node(backend, ManualClock() if refused else clock or SystemClock()), url, refused)


async def open_tikv_replica(url: str) -> TikvReplica:
    """Open the store as the target of a migration.

    Raises:
        BrainctlError: As `open_tikv_backend`.
    """
    place = parse_tikv_url(url)
    layout = Layout(place.prefix)
    client = place.client()
    replica = TikvReplica(ReplicaWriter(client, layout))
    try:
        await replica.checkpoint()
    except BaseException:
        await client.close()
        raise
    return replica
