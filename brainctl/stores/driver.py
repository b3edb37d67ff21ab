"""The functions of a kind of store, which the module that `Scheme.driver` names has.

It has those functions for which the scheme says `Can`; `registry.py` calls them.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from brainctl.clock import Clock
from brainctl.errors import BrainctlError
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.store import ReplicaTarget, Store
from brainctl.stores.urls import StoreUrl

if TYPE_CHECKING:
    from brainctl.node.backend import Backend
    from brainctl.node.membership import Membership
    from brainctl.stores.unfinished import Admission


OTHER_PLACE = "use it as it is, or choose another place"
"""The advice where a store is to be created and there is one."""


class Opening(NamedTuple):
    """Options for opening a store. A kind of store reads what is meant for it, and nothing else."""

    target: Callable[[], EtcdTarget]
    """Returns how to reach a server. Only a store that calls one asks, so no other is asked for a password."""
    clock: Clock | None = None
    """The time of a store that is opened in this process: while it stands still, no lease expires."""
    create: bool = False
    """Create the store if there is none. Otherwise a mistyped name is noticed by reads and writes alike."""
    admission: "Admission | None" = None
    """Admission, with which a copy that a migration has not finished is only read."""


class Serving(NamedTuple):
    """Options for opening a store for a server."""

    admission: "Admission"
    warn: Callable[[str], None]
    """Shows a warning to the operator."""
    reclaim_rate: int = 0
    """The most bytes per second that reclaiming space reads and writes in a directory; 0 for no limit."""
    collects: bool = True
    """Move TiKV's garbage collection on."""
    role: str = "auto"
    """Rule by which a server of a store that several can serve takes the lead: `auto`, `leader` or `follower`."""
    name: str = "default"
    """The name of the server among those that serve the store."""
    peer_urls: tuple[str, ...] = ()
    """The peer URLs that it shows."""
    lease_seconds: float = 5.0
    """Seconds for which a server that leads keeps the lead while it is silent."""


class Shared(NamedTuple):
    """Requirements of a server that is one of several which serve one store."""

    membership: "Membership"
    leads: Callable[[], bool]
    """Returns whether this server leads, as far as it knows."""
    follow: Callable[[], Awaitable[None]]
    """Shows all that the leader has acknowledged until now."""
    secret: bytes
    """Secret that only the servers of the store know."""
    now_seconds: Callable[[], float]
    """Returns the time of a clock that all of them read."""


class Served(NamedTuple):
    """Backend of a server, with the directory or cluster that it is in."""

    backend: "Backend"
    url: str
    announce: Callable[[str, Sequence[str]], None]
    """Tells those who find the store in use where it is served: the address, and the URLs for clients."""
    on_failure: Callable[[Callable[[BrainctlError], None]], None]
    """Sets what is called when the store fails."""
    shared: Shared | None = None
    """None where no other server can serve the store."""


class Driver(Protocol):
    """The functions of a kind of store. Each raises BrainctlError when the store cannot be opened."""

    async def open_store(self, url: StoreUrl, opening: Opening) -> Store:
        """Open a store for clients (`Can.OPEN`)."""

    async def create_store(self, url: StoreUrl) -> None:
        """Create an empty store, durably (`Can.CREATE`).

        Raises:
            NotEmpty: There is a store already.
        """

    async def open_backend(self, url: StoreUrl, serving: Serving) -> Served:
        """Open a store for a server (`Can.SERVE`)."""

    async def open_target(self, url: StoreUrl) -> ReplicaTarget:
        """Open a store as the target of a migration; create it if there is none (`Can.TARGET`)."""
