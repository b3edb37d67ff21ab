"""Reach a TiKV cluster: one seam and two clients behind it.

The seam is `seam` (what the rest of brainctl calls), with `limits` (times and sizes) and `traffic` (counts, and what
was learned about sizes). The clients are `own`, which is the default, and `package`, the `tikv-client` package, with
its texts (`package_texts`) and its reports of panics (`panics`).

Our own, in reading order:

* Without I/O: `regions` (which keys are where), `region_errors` (what a refusal means), `plan` (the requests of a
  commit, and what an answer says about it).
* Connections: `channels` (gRPC), `methods`, `attempts` (how long a call is repeated), `placement_driver` (members,
  regions, stores), `timestamps` (its oracle).
* Requests to regions: `region_calls` (to the leader, again after a refusal, spread over regions).
* Transactions: `locks` (end those that others left), `reads`, `heartbeat`, `commits` (two phases, or one),
  `background` (what nobody waits for), `transactions`.
* `garbage` (move the safe point) and `own` (the whole).

Percolator in five lines: a transaction reads at its start timestamp. A commit first *prewrites* each key, with a lock
that names one of them, the primary; that fails where another transaction has written since the start, or holds a lock.
Then it takes a commit timestamp and commits the primary: from then on the transaction has happened, and whoever meets
one of its other locks asks the primary and commits or removes that lock. In one phase TiKV does it all with the
prewrite, which needs all keys in one region.
"""

import os
from collections.abc import Sequence
from enum import Enum

from brainctl.errors import InvalidInput
from brainctl.tikv.client.limits import LONGEST_READ_SECONDS, PATIENCE, PAUSE
from brainctl.tikv.client.seam import Client, Pair, Reader, Security, Transaction

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # our errors say what its log would; gRPC reads this on import

__all__ = [
    "LONGEST_READ_SECONDS",
    "PATIENCE",
    "PAUSE",
    "Client",
    "ClientKind",
    "Pair",
    "Reader",
    "Security",
    "Transaction",
    "open_client",
]


class ClientKind(Enum):
    """One of the clients; the value is its name for a user."""

    OWN = "own"
    PACKAGE = "package"


def open_client(
    endpoints: Sequence[str], security: Security | None = None, kind: ClientKind = ClientKind.OWN
) -> Client:
    """Return a client of a cluster, which connects with its first use.

    Args:
        endpoints: the addresses of the Placement Driver, each "host:port".
        security: the files for TLS; None for a cluster without.
        kind: which client.

    Raises:
        InvalidInput: a file for TLS cannot be read, or the package is not installed or cannot do TLS.
    """
    if kind is ClientKind.OWN:
        from brainctl.tikv.client.own import OwnClient  # noqa: PLC0415 - only the client in use is loaded

        return OwnClient(endpoints, security or Security())
    try:
        from brainctl.tikv.client.package import package_client  # noqa: PLC0415 - only the client in use is loaded
    except ImportError as error:
        raise InvalidInput("the tikv-client package is not installed: pip install 'brainctl[tikv-client]'") from error
    return package_client(endpoints, security or Security())
