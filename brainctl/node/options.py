"""What a node is told when it is made; the defaults are those of a node inside a command."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from brainctl.mvcc.requests import MAX_TXN_OPS
from brainctl.node.jobs.retention import Retention
from brainctl.node.jobs.scrubber import ScrubOptions

REQUEST_BYTES_MAX = 3 << 19
"""The longest write that is taken, etcd's default (1.5 MiB)."""
QUOTA_DEFAULT_BYTES = 2 << 30
"""What a quota of 0 stands for, as in etcd."""

PROGRESS_SECONDS = 600.0
"""etcd's interval of progress notifications."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Settings of a node, with etcd's meanings."""

    name: str = "default"
    """The name of the member."""
    peer_urls: Sequence[str] = ("http://localhost:2380",)
    """What the member list shows until a request changes them: etcd's default. Nothing listens there, but clients look
    at the first one.
    """
    max_request_bytes: int = REQUEST_BYTES_MAX
    """Longer writes are refused; also about how long a chunk of a RangeStream is."""
    max_txn_ops: int = MAX_TXN_OPS
    """How many operations one branch of a transaction may have."""
    quota_bytes: int | None = None
    """The size from which on nothing is let in that takes room: 0 is etcd's default of 2 GiB, negative or None is no
    limit.
    """
    progress_seconds: float = PROGRESS_SECONDS
    """How often watchers that asked for it are told how far they have seen everything."""
    scrub: ScrubOptions = field(default_factory=ScrubOptions)
    """When to read what is on the backend, and how fast."""
    retention: Retention | None = None
    """What of the history to keep; None keeps all until somebody compacts."""
