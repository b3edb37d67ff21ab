"""The settings of a node; the defaults are those of a node inside a command."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from brainctl.mvcc.requests import MAX_TXN_OPS
from brainctl.node.jobs.retention import Retention
from brainctl.node.jobs.scrubber import ScrubOptions

REQUEST_BYTES_MAX = 3 << 19
"""The longest write that is accepted, in bytes: etcd's default (1.5 MiB)."""
QUOTA_DEFAULT_BYTES = 2 << 30
"""The quota in bytes that a setting of 0 stands for, as in etcd (2 GiB)."""

PROGRESS_SECONDS = 600.0
"""Seconds between progress notifications, as in etcd."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Settings of a node, with etcd's meanings."""

    name: str = "default"
    """The name of the member."""
    peer_urls: Sequence[str] = ("http://localhost:2380",)
    """The peer URLs that the member list shows until a request changes them: etcd's default. Nothing listens there, but
    clients look at the first one.
    """
    max_request_bytes: int = REQUEST_BYTES_MAX
    """The longest write in bytes; longer ones are refused. A chunk of a RangeStream is about as long too."""
    max_txn_ops: int = MAX_TXN_OPS
    """The most operations that one branch of a transaction may have."""
    quota_bytes: int | None = None
    """The size in bytes from which on writes that take room are refused. 0 is etcd's default of 2 GiB; negative or None
    is no limit.
    """
    progress_seconds: float = PROGRESS_SECONDS
    """Seconds between the notifications that tell a watcher with `progress_notify` up to which revision it has seen all
    events.
    """
    watch_bytes: int | None = None
    """Limit for the memory of watchers, in bytes; None for no limit."""
    scrub: ScrubOptions = field(default_factory=ScrubOptions)
    """Options for scrubbing the disk."""
    retention: Retention | None = None
    """The history to keep; None keeps all of it until a client compacts."""
